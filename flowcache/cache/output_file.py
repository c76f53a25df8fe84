"""A file that HDF5 writes to through Python, so that a full device is an error and nothing worse."""

import io
from pathlib import Path
from typing import Any, Self


class OutputFile(io.FileIO):
    """A new file that never fails while it is written: it remembers the first error, and goes on.

    HDF5 cannot close a file whose last blocks it cannot write, and ends the process instead. Here it
    hears of nothing, and who writes asks by `check`. What comes after an error is not kept.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+b")
        self._error: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def check(self) -> None:
        """Raise the first error that there was."""
        if self._error:
            raise self._error

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and not self._error:
                done += super().write(view[done:])
        except OSError as error:
            self._error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Make the file so many bytes long."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        """Read what is there; zeros stand for what an error kept from being written."""
        view = memoryview(buffer).cast("B")
        count = super().readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        return len(view)
