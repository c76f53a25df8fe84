"""What a campaign tries in a child process, which has to find it by its name; see `fault_campaign`."""

import time

from flowcache.errors import UserError


def as_told(how: str) -> bool:
    """End in the way that is named."""
    if how == "refused":
        raise UserError("it is refused")
    if how == "traceback":
        raise KeyError("who reads this?")
    if how == "hung":
        time.sleep(1000)
    if how == "too much memory":
        bytearray(1 << 40)
    return how == "harmless"
