"""Videos that look nearly alike: the same material cut twice, under two names, or compressed anew.

What a split must keep together is known by groups and by the digests of the files. Material that was
downloaded twice, or clips of one recording whose names do not say so, have neither in common, and still
show the test to the training.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from flowcache.cache.store import FlowCache
from flowcache.types import Float64

Hashes = npt.NDArray[np.uint64]
"""The hashes of a video's frames, 64 bits each: (FRAMES), or of N videos (N, FRAMES)."""

FRAMES = 5

NEAR = 10.0
"""Up to how many of 64 bits videos may differ that are taken for near-duplicates.

Measured on 270 clips of UCF101, 186 of fights and 60 of UT-Interaction. Of 190 of them none, compressed
anew, halved in size, stretched, brightened or without its colours, was further than 9.4 from what it had
been; the first three quarters of a clip were within 10 of the whole in 72 % (UCF101) to 98 % (fights) of
the clips. Of 54,000 pairs of different groups two were nearer than 10.6, at 5.0 and 5.8: they are of one
camera, within half a minute, which the groups did not know.
"""

_ROWS = 16  # of a block of distances: with 10,000 videos that is some 40 MB


@dataclass(frozen=True)
class Pair:
    """Two near-duplicates; the distance is in bits of 64."""

    one: str
    other: str
    distance: float


def near_duplicates(
    cache: FlowCache,
    ids_a: Sequence[str],
    ids_b: Sequence[str],
    on_videos: Callable[[int], None] = lambda _: None,
) -> list[Pair]:
    """The pairs of a video of `ids_a` and one of `ids_b` that look nearly alike, the nearest first.

    A video is no duplicate of itself, and a pair is named once where both lists hold both of its videos.
    on_videos: is given how many videos have been read, of those in either list.

    What is mirrored, framed, covered in part or cropped by a tenth looks otherwise to these hashes, and
    is seldom found. Raises UserError for an entry that is missing or damaged.
    """
    ids = list(dict.fromkeys((*ids_a, *ids_b)))
    hashes = hashes_of(cache, ids, on_videos)
    row = {identifier: number for number, identifier in enumerate(ids)}
    rows_a, rows_b = ([row[identifier] for identifier in part] for part in (ids_a, ids_b))
    pairs: dict[frozenset[str], Pair] = {}
    for first in range(0, len(rows_a), _ROWS):
        block = rows_a[first : first + _ROWS]
        far = distances(hashes[block], hashes[rows_b])
        for a, b in np.argwhere(far <= NEAR):
            pair = Pair(ids[block[a]], ids[rows_b[b]], float(far[a, b]))
            if pair.one != pair.other:
                pairs.setdefault(frozenset((pair.one, pair.other)), pair)
    return sorted(pairs.values(), key=lambda pair: (pair.distance, pair.one, pair.other))


def hashes_of(
    cache: FlowCache, ids: Sequence[str], on_videos: Callable[[int], None] = lambda _: None
) -> Hashes:
    """Perceptual hashes of the middle frames of five equal parts of each video: (N, FRAMES).

    The hash is OpenCV's `PHash`: whether each of the 64 lowest frequencies of the picture's cosine
    transform is above their mean (Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash
    Functions").
    """
    hasher = cv2.img_hash.PHash.create()
    hashes = np.empty((len(ids), FRAMES), np.uint64)
    for number, identifier in enumerate(ids):
        with cache[identifier] as entry:
            frames = entry.rgb
            middles = (np.arange(FRAMES) + 0.5) / FRAMES * len(frames)
            for place, rgb in enumerate(frames[middles.astype(int)]):
                gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
                hashes[number, place] = hasher.compute(gray).view(np.uint64)[0, 0]
        on_videos(number + 1)
    return hashes


def distances(one: Hashes, other: Hashes) -> Float64:
    """How far videos are apart, in bits of 64: (N, FRAMES) and (M, FRAMES) → (N, M).

    Each frame is compared with the nearest frame of the other video, since one may begin later or be
    shorter. The distance is the mean over the frames of a video, the larger of the two videos' means.
    """
    bits = np.bitwise_count(one[:, None, :, None] ^ other[None, :, None, :])
    return np.asarray(np.maximum(bits.min(3).mean(2), bits.min(2).mean(2)))
