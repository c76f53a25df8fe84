"""How algorithms refuse option values that make no sense."""

from typing import Any


def require(holds: bool, name: str, wanted: str) -> None:
    """Raises ValueError, which says what the option must be, unless it holds."""
    if not holds:
        raise ValueError(f"{name.removesuffix('_')} must be {wanted}")


def require_above(limit: float, options: Any, *names: str) -> None:
    """Each of these options must be more than a limit, and finite."""
    for name in names:
        value = getattr(options, name)
        require(limit < value < float("inf"), name, f"more than {limit:g}")


def require_at_least(limit: float, options: Any, *names: str) -> None:
    """Each of these options must be a limit or more, and finite."""
    for name in names:
        value = getattr(options, name)
        require(limit <= value < float("inf"), name, f"{limit:g} or more")
