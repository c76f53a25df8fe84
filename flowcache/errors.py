"""Errors that a user can put right."""


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
