"""Errors that a user can put right."""

from pathlib import Path


class UserError(Exception):
    """One sentence that says what is wrong, where, and what to do about it.

    The sentence uses the library's words. A command that lets a user set `parameter` by an option adds
    the option's name when it prints the error.
    """

    parameter: str | None
    """The parameter of the public function that is at fault, where it is one parameter's."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


def printable(path: Path | str) -> str:
    r"""The path as text that can be encoded: a byte that is no UTF-8 becomes `\xff`."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
