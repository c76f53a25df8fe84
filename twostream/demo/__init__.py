"""Small video sets of our own, one a file; the module's name is the name users give.

`create()` returns a `_demo_set.DemoSet`.
"""

import sys

from flowcache import plugins
from twostream.demo._demo_set import DemoSet


def names() -> list[str]:
    """The sets that there are, sorted."""
    return plugins.names(sys.modules[__name__])


def create(name: str) -> DemoSet:
    """A set by name. UserError for a set that there is not."""
    made: DemoSet = plugins.create(sys.modules[__name__], name)
    return made
