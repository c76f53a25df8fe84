"""Functions that child processes of the tests import: decoders that crash or hang, and the like."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from flowcache.errors import UserError
from flowcache.quantize import Quantizer
from flowcache.video.decode import Video


class BadVideo(Video):
    """Dies, as its file's name says, after the first batch."""

    def frames(self, *args: Any, **options: Any) -> Any:
        name = Path(self.path).name
        for batch in super().frames(*args, **options):
            yield batch
            if "abort" in name:
                os.abort()
            if "segfault" in name:
                os.kill(os.getpid(), signal.SIGSEGV)
            if "exit" in name:
                os._exit(3)
            if "hang" in name:
                time.sleep(600)
            if "odd_error" in name:
                raise LookupError("quite unexpected")


class SmallBatches(Video):
    """Gives its frames a few at a time, so that a small video has many windows."""

    def frames(self, resize: Any, batch_pixels: int = 3 * 40 * 56) -> Any:
        return super().frames(resize, batch_pixels)


class DeadlyVideo(SmallBatches):
    """Kills the process of the device, once or always, as its file's name says."""

    def frames(self, *args: Any, **options: Any) -> Any:
        name, killed = Path(self.path).name, Path(self.path).with_suffix(".killed")
        for number, batch in enumerate(super().frames(*args, **options)):
            if number == 1 and ("always" in name or ("once" in name and not killed.exists())):
                killed.touch()
                for server in device_processes(psutil.Process().parent()):
                    server.kill()
            yield batch


def device_processes(parent: psutil.Process) -> list[psutil.Process]:
    """The children of `isolation` that import PyTorch, which those of videos do not."""
    return [
        child
        for child in parent.children()
        if "serve_calls" in " ".join(child.cmdline()) and imports_torch(child)
    ]


def imports_torch(process: psutil.Process) -> bool:
    try:
        return any("libtorch" in m.path for m in process.memory_maps())
    except psutil.Error:
        return False


class CountingVideo(Video):
    """Leaves a line in a file beside the video whenever it is opened."""

    def __init__(self, path: Path) -> None:
        with path.parent.with_name("opened.txt").open("a") as log:
            log.write(f"{path.name}\n")
        super().__init__(path)


class UnpicklableError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")  # is built from two values, and pickles as one
        self.handle = sys.stdout


class DeepError(UserError):
    """A sentence for a user."""


def add(a: int, b: int, report: Any) -> int:
    return a + b


def where_am_i(report: Any) -> int:
    return os.getpid()


def count_up(n: int, report: Any) -> str:
    for i in range(n):
        report(i)
    return "done"


def echo(value: Any, report: Any) -> Any:
    return value


def raise_it(kind: str, report: Any) -> None:
    if kind == "unpicklable":
        raise UnpicklableError("two", "words")
    if kind == "deep":
        raise DeepError("do this instead")
    raise ValueError(kind)


def return_unpicklable(report: Any) -> Any:
    return lambda: None


class ReadableThereAlone:
    """Pickles, but cannot be unpickled by the process whose number it was made with."""

    def __init__(self, process: int) -> None:
        self.process = process

    def __reduce__(self) -> Any:
        return read_elsewhere, (self.process,)


def read_elsewhere(process: int) -> ReadableThereAlone:
    if os.getpid() == process:
        raise LookupError("not in this process")
    return ReadableThereAlone(process)


def answer_unreadably(parent: int, report: Any) -> Any:
    return ReadableThereAlone(parent)


def modules_beside(name: str, report: Any) -> str | None:
    """Where a child gets a module of the standard library from."""
    import importlib

    return importlib.import_module(name).__file__


class PlainMemory:
    """Stands for a tensor: importing PyTorch takes longer than such a device may."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._array = np.empty(shape, np.uint8)

    def numpy(self) -> Any:
        return self._array


class RecipeOfSlowDevice:
    """Stands for a recipe, its algorithm and a session of a device, of which one hangs at its start.

    Any other computes the small pair of the trial, and takes for ever over the frames of a video.
    """

    frame_step = 1
    quantizer = Quantizer(bound=1.0, step=1.0)

    def create_algorithm(self) -> Any:
        return self

    def on(self, device: str, quantizer: Quantizer, on_note: Any) -> Any:
        if device == "hangs":
            on_note("it begins to hang")
            time.sleep(600)
        return self

    def stack(self, shape: tuple[int, int, int]) -> Any:
        return PlainMemory(shape)

    def room(self, height: int, width: int) -> int:
        return 1

    def start(self, stacks: Any, step: int) -> Any:
        trial = stacks[0].numpy().shape[1:] == (64, 64)
        return lambda: [] if trial else time.sleep(600)


def print_noise(report: Any) -> str:
    print("a native library talks on standard output")
    os.write(1, b"and not through Python\n")
    sys.stdout.flush()
    return "quiet"


def die(how: str, report: Any) -> None:
    if how == "abort":
        os.abort()
    elif how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        os._exit(int(how))


def hang(report: Any) -> None:
    time.sleep(600)


def report_then_hang(n: int, report: Any) -> None:
    for i in range(n):
        report(i)
    time.sleep(600)


def read_entry(entry: Any, indices: list[int], rounds: int, replies: Any) -> None:
    """Read an entry's fields and frames again and again, and say what they add up to."""
    totals = set()
    for _ in range(rounds):
        for index in indices:
            codes, rgb = entry.codes([index]), entry.rgb([index])
            totals.add((index, int(codes.astype(int).sum()), int(rgb.astype(int).sum())))
    replies.put(sorted(totals))


def try_to_write(root: Path, replies: Any) -> None:
    """Ask for the right to write to a cache, and say what the answer was."""
    from flowcache.cache.store import FlowCache

    try:
        with FlowCache.open(root).writing():
            replies.put("in")
    except UserError as error:
        replies.put(str(error))
