"""What a stream looks at, as pictures."""

import numpy as np

from flowcache.show.colour import flow_to_color
from flowcache.types import Float32, UInt8
from twostream.data.streams import Integers
from twostream.runs.spec import Spec

_SMALLEST_SCALE = 0.5  # pixels; noise where nothing moves stays pale


def scale_of(values: Integers | Float32, means: Float32, spec: Spec) -> float:
    """The length in pixels that 99 of 100 vectors do not exceed; 1 where a stream has no vectors."""
    if not spec.values.is_displacement:
        return 1.0
    lengths = np.hypot(*np.moveaxis(_displacements(values, means, spec), 1, 0))
    return max(_SMALLEST_SCALE, float(np.percentile(lengths, 99)))


def pictures(values: Integers | Float32, means: Float32, spec: Spec, scale: float) -> UInt8:
    """Frames or fields as RGB, uint8 (T, H, W, 3).

    values, means: as of `data.clip_reader.read_whole`. Flow has its mean subtracted, as the network sees
    it; a vector of `scale` pixels is fully saturated. Of differences of frames gray is none.
    """
    stream = spec.values
    if stream.is_displacement:
        flow = _displacements(values, means, spec)
        return np.stack([flow_to_color(field, scale) for field in flow])
    if not stream.is_colour:
        values = 128 + values // 2
    return np.asarray(np.moveaxis(values, 1, 3), np.uint8)


def _displacements(values: Integers | Float32, means: Float32, spec: Spec) -> Float32:
    """In pixels, (T, 2, H, W)."""
    step = np.array(spec.values.scale(spec.recipe), np.float32)
    flow: Float32 = values * step[:, None, None] - means[..., None, None]
    return flow
