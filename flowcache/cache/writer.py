"""Write one cache entry; it appears under its name whole and sealed, or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import cv2
import h5py
import numpy as np

from flowcache.atomic import atomic_path
from flowcache.cache import seal
from flowcache.cache.codec import DEFAULT
from flowcache.cache.info import EntryInfo, Source
from flowcache.cache.layout import INFO_LIMIT, JPEG_CHUNK
from flowcache.cache.output_file import OutputFile
from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError
from flowcache.types import Codes, Float32, Float64, Frames, UInt8
from flowcache.video.decode import display_times


class EntryWriter:
    """Collects one video's batches into an open HDF5 file; made by `write_entry`."""

    def __init__(self, file: h5py.File, recipe: Recipe, check: Callable[[], None]) -> None:
        """check: raises where what was written so far cannot be kept."""
        self._file = file
        self._recipe = recipe
        self._check = check
        self._times: list[Float64] = []
        self._means: list[Float32] = []
        self._offsets = [0]
        self._flow: h5py.Dataset | None = None
        self._jpeg = file.create_dataset(
            "rgb_jpeg", (0,), np.uint8, maxshape=(None,), chunks=(JPEG_CHUNK,), fletcher32=True
        )
        self.saturated = 0

    @property
    def frames(self) -> int:
        """Frames so far."""
        return len(self._offsets) - 1

    @property
    def fields(self) -> int:
        """Fields so far."""
        return 0 if self._flow is None else len(self._flow)

    def add_frames(self, frames: Frames) -> None:
        """Append frames as JPEG."""
        encoded = [encode_jpeg(rgb, self._recipe.jpeg_quality) for rgb in frames]
        for jpeg in encoded:
            self._offsets.append(self._offsets[-1] + len(jpeg))
        start = len(self._jpeg)
        self._jpeg.resize(self._offsets[-1], axis=0)
        self._jpeg[start:] = np.concatenate(encoded)
        self._times.append(frames.times)
        self._check()

    def leave_out_frames(self, count: int) -> None:
        """There are so many frames, and no picture of them is kept; their time stamps are counted."""
        self._offsets = [0] * (count + 1)
        self._times = [np.full(count, np.nan)]

    def add_codes(self, codes: Codes, saturated: int) -> None:
        """Append quantised fields (T, C, H, W), of whose numbers so many saturated.

        C is 2, or 4 where the recipe keeps the flow backward, see `Recipe.components`.
        """
        if self._flow is None:
            self._flow = self._create_flow(codes)
        start = len(self._flow)
        self._flow.resize(start + len(codes), axis=0)
        self._flow[start:] = DEFAULT.pack(codes)
        # Of the codes, not of the flow: it is the stored fields' mean that is subtracted.
        self._means.append(self._recipe.quantizer.means(codes))
        self.saturated += saturated
        self._check()

    def _create_flow(self, codes: Codes) -> h5py.Dataset:
        components, height, width = codes.shape[1:]
        flow = DEFAULT.create_dataset(self._file, "flow", height, width, codes.dtype, components)
        flow.attrs["step_px"] = self._recipe.quantizer_step
        flow.attrs["bound_px"] = self._recipe.bound
        self._height, self._width = height, width
        return flow

    def finish(
        self,
        source: Source,
        size: tuple[int, int],
        rate: Fraction | None,
        partial: str,
        complete: str = "unknown",
        flow_sha256: str = "",
    ) -> EntryInfo:
        """Write what is known only at the end."""
        if self._flow is None:
            raise ValueError("an entry needs at least one field")
        times, times_from = display_times(np.concatenate(self._times), rate)
        info = EntryInfo(
            recipe=self._recipe,
            source=source,
            original_width=size[0],
            original_height=size[1],
            width=self._width,
            height=self._height,
            frames=self.frames,
            fields=self.fields,
            frame_rate=float(rate or 0),
            times_from=times_from,
            saturated=self.saturated,
            partial=partial,
            complete="unknown" if partial else complete,
            flow_sha256=flow_sha256,
        )
        text = info.to_json().encode()
        if len(text) > INFO_LIMIT:
            raise UserError(
                f"what the entry says of itself takes {len(text)} bytes and has room for {INFO_LIMIT}: "
                "give the algorithm shorter options"
            )
        for name, values in (
            ("flow_mean", np.concatenate(self._means)),
            ("times", times),
            ("rgb_offsets", np.array(self._offsets, np.int64)),
        ):
            self._file.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
        # Text of fixed length: what has a variable one lies where HDF5 has no checksum.
        self._file["flow_mean"].attrs["units"] = np.bytes_("px")
        self._file["times"].attrs["units"] = np.bytes_("s")
        self._file.attrs["info"] = np.bytes_(text)
        return info


def encode_jpeg(rgb: UInt8, quality: int) -> UInt8:
    """A frame, uint8 (H, W, 3), as an entry holds it: the bytes of a JPEG, uint8 (N,)."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    jpeg: UInt8 = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return jpeg


@contextmanager
def write_entry(path: Path, recipe: Recipe) -> Iterator[EntryWriter]:
    """Write an entry; it appears under its name, whole and sealed, when the block ends well.

    Raises NoSpaceError where the device is full.
    """
    with atomic_path(path) as temporary:
        with OutputFile(temporary) as output:
            with h5py.File(output, "w", libver=("v110", "v110"), userblock_size=seal.SIZE) as file:
                yield EntryWriter(file, recipe, output.check)
            output.check()
        with temporary.open("r+b") as raw:
            seal.write_seal(raw)
