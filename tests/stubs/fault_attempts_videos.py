"""What the campaign of damaged videos tries in a child process; see `fault_campaign`."""

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

import fault_campaign
import numpy as np

from flowcache.video.decode import Video

SHORT = "short"
"""Nothing says so, but there are fewer frames than in the whole file."""


def digests(frames: Iterable[np.ndarray]) -> list[bytes]:
    """A digest for each frame: what is sent to a child in place of the frames."""
    return [hashlib.blake2b(frame.tobytes(), digest_size=8).digest() for frame in frames]


def decode(content: bytes, suffix: str, whole: list[bytes]) -> str:
    """Decode a video and compare its frames with the digests of the whole video's frames."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"video{suffix}"
        path.write_bytes(content)
        with Video(path) as video:
            found = digests(video)
    if found == whole:
        return fault_campaign.HARMLESS
    return SHORT if len(found) < len(whole) else fault_campaign.WRONG
