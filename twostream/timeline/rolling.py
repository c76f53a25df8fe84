"""The newest part of a video, just long enough for the clips that end with it.

What a cache entry is for a whole file this is for a video that goes on: clips are cut out of it by the
same code, and are the same to the byte. So a frame passes through JPEG of the recipe's quality before a
network sees it, as the frames did on which it was trained.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from flowcache.cache.entry import Items
from flowcache.cache.recipe import Recipe
from flowcache.cache.writer import encode_jpeg
from flowcache.types import Codes, Float32, Float64, UInt8
from twostream.data.clip_reader import Clip, read_clip, timing
from twostream.data.clip_spec import ClipSpec
from twostream.data.crop_and_flip import fixed_views
from twostream.data.index import Item
from twostream.data.sampling import Indices, even_clips
from twostream.data.streams import Stream


@dataclass(eq=False)
class _Frame:
    """A frame with the field that ends at it; the first frames of a video have none."""

    rgb: UInt8
    time: float
    codes: Codes | None
    mean: Float32
    is_as_stored: bool = False


class Rolling:
    """The newest frames of a video and the flow between them; see `data.streams.Stored`.

    Numbers count from the oldest frame that is held. Memory is bounded by the longest clip: of clips by
    frame rate, by how many frames fall into it.
    """

    def __init__(self, needs: Sequence[tuple[ClipSpec, Stream]], recipe: Recipe) -> None:
        """needs: of which clips are to be cut. recipe: by which frames and fields were made."""
        self._needs, self._recipe = needs, recipe
        self._frames: deque[_Frame] = deque()

    def __len__(self) -> int:
        """How many frames are held."""
        return len(self._frames)

    def add(self, rgb: UInt8, time: float, codes: Codes | None = None) -> None:
        """The next frame, and what no clip needs any more is dropped.

        rgb: uint8 (H, W, 3), of the size that the recipe asks for. time: its time stamp in seconds,
        above that of the frame before. codes: the field from `recipe.frame_step` frames ago to this one,
        int8 or int16 (C, H, W), as a cache of the recipe has it; None where there is none: for the
        first frames, and where no stream reads flow.
        """
        mean = np.zeros(self._recipe.components, np.float32)
        if codes is not None:
            mean = self._recipe.quantizer.means(codes[None])[0]
        self._frames.append(_Frame(rgb, time, codes, mean))
        oldest = min(self._oldest_needed(spec, stream) for spec, stream in self._needs)
        for _ in range(oldest):
            self._frames.popleft()

    @property
    def newest_time(self) -> float:
        """When the newest frame is, seconds."""
        return self._frames[-1].time

    def holds(self, spec: ClipSpec, stream: Stream) -> bool:
        """Whether what is held is as long as a clip."""
        available = self._available(stream)
        if available < 1:
            return False
        times, length, spacing = timing(spec, available, lambda: self.times)
        period = (times[-1] - times[0]) / max(1, available - 1)
        return bool(times[-1] - times[0] + period / 2 >= (length - 1) * spacing)

    def clip(self, spec: ClipSpec, stream: Stream, crops: int = 1) -> Clip:
        """The clip that ends at the newest frame, seen from 1, 3 or 10 crops.

        Of a video that is shorter than a clip it is looped, as `data.sampling` has it: what `evaluate`
        sees of a video that ends here. Raises ValueError before the first frame, or field, is there.
        """
        numbers = self._numbers(spec, stream).tolist()
        return read_clip(self, numbers, stream, spec, lambda h, w: fixed_views(h, w, spec, crops))

    def seconds(self, spec: ClipSpec, stream: Stream) -> tuple[float, float]:
        """When the first frame of that clip is, and the newest one."""
        first = min(self._numbers(spec, stream).tolist())
        return self._frames[first].time, self.newest_time

    @property
    def times(self) -> Float64:
        """Time stamps of all frames that are held, seconds."""
        return np.array([frame.time for frame in self._frames])

    @property
    def rgb(self) -> Items[UInt8, UInt8]:
        """The frames as an entry would hold them, uint8 (…, H, W, 3)."""
        return Items("frame", len(self._frames), self._read_rgb)

    @property
    def codes(self) -> Items[Codes, Codes]:
        """The fields, int8 or int16 (…, C, H, W): number t is from frame t to frame t + step."""
        return Items("field", self._fields, self._read_codes)

    @property
    def flow_means(self) -> Float32:
        """The mean displacement of each field, (fields, C), pixels."""
        step = self._recipe.frame_step
        means = [frame.mean for frame in islice(self._frames, step, None)]
        return np.array(means, np.float32).reshape(-1, self._recipe.components)

    @property
    def _fields(self) -> int:
        return max(0, len(self._frames) - self._recipe.frame_step)

    def _available(self, stream: Stream) -> int:
        return max(0, stream.available(Item.unlabelled(len(self._frames), self._fields)))

    def _numbers(self, spec: ClipSpec, stream: Stream) -> Indices:
        """Of the frames or fields of the newest clip."""
        available = self._available(stream)
        last: Indices = even_clips(*timing(spec, available, lambda: self.times), 2)[-1]
        return last

    def _oldest_needed(self, spec: ClipSpec, stream: Stream) -> int:
        """The number of the first frame that the newest clip may need; 0 where more are to come."""
        available = self._available(stream)
        if available < 1:
            return 0
        times, length, spacing = timing(spec, available, lambda: self.times)
        start = times[-1] - (length - 1) * spacing
        return max(0, int(np.searchsorted(times, start, "right")) - 1)

    def _read_rgb(self, numbers: Sequence[int]) -> UInt8:
        return np.stack([self._as_stored(self._frames[number]) for number in numbers])

    def _as_stored(self, frame: _Frame) -> UInt8:
        """The frame after JPEG, which it passes through once, when it is first read."""
        if not frame.is_as_stored:
            jpeg = encode_jpeg(frame.rgb, self._recipe.jpeg_quality)
            frame.rgb = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB), np.uint8)
            frame.is_as_stored = True
        return frame.rgb

    def _read_codes(self, numbers: Sequence[int]) -> Codes:
        step = self._recipe.frame_step
        fields = [self._frames[number + step].codes for number in numbers]
        there = [field for field in fields if field is not None]
        if len(there) < len(fields):
            raise ValueError(
                "frames were added without their flow, and a clip of flow is asked for"
            )
        return np.stack(there)
