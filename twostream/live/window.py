"""A window that shows pictures; Tk's, since it comes with Python and OpenCV is installed without one."""

from flowcache.errors import UserError
from flowcache.types import UInt8


class Window:
    """Open until the user closes it, or presses q or Escape."""

    def __init__(self, title: str) -> None:
        """UserError where there is no display, or this Python has no Tk."""
        try:
            import tkinter

            from PIL import ImageTk
        except ImportError:
            raise UserError(
                "this Python has no tkinter, which a window needs: install it (python3-tk on Debian), or "
                "go without a window and read the lines of JSON",
                "window",
            ) from None
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError:
            raise UserError(
                "there is no display to open a window on: go without one and read the lines of JSON",
                "window",
            ) from None
        self._photo_of, self._title = ImageTk.PhotoImage, title
        self._root.title(title)
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self.is_open = True
        self._root.protocol("WM_DELETE_WINDOW", self._close)
        for key in ("q", "<Escape>"):
            self._root.bind(key, lambda _: self._close())

    def _close(self) -> None:
        self.is_open = False

    def show(self, picture: UInt8, words: str = "") -> None:
        """Show uint8 (H, W, 3) RGB, and words behind the title."""
        from PIL import Image

        # The label keeps no reference of its own, without which Tk forgets the picture.
        self._photo = self._photo_of(Image.fromarray(picture), master=self._root)
        self._label.configure(image=self._photo)
        self._root.title(f"{self._title}   {words}")
        self._root.update()
