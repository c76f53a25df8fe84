"""Random training stacks a second on one core: ours against reading the usual JPEG files.

    python benchmarks/loader.py

A stack is 10 fields of 340×256 and a random crop of 224×224. Ours is what training calls: cache entry,
clip reader, mean vectors, crop, tensors. The other reads 20 greyscale JPEG files, crops and stacks them
to one uint8 array, and knows no means. Both see the same flow, in the same order, from a hot cache.
"""

import argparse
import cProfile
import pstats
import tempfile
from collections.abc import Callable
from pathlib import Path

import common
import cv2
import numpy as np
import torch

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from twostream.data.clip_reader import ClipReader
from twostream.data.clip_spec import ClipSpec
from twostream.data.crop_and_flip import random_view
from twostream.data.index import Item, read_index
from twostream.data.sampling import random_clips
from twostream.data.streams import TEMPORAL

SPEC = ClipSpec(length=10, stride=1, crop=224, flip=False)
HEIGHT, WIDTH = 256, 340


def write_jpegs(root: Path, cache: FlowCache, items: tuple[Item, ...]) -> None:
    """The same fields as round((px + 20) · 255 / 40), two files of quality 95 each."""
    for item in items:
        (root / item.id).mkdir(parents=True)
        flow = cache.entry(item.id).flow[range(item.fields)].data
        for i, field in enumerate(np.rint((flow + 20) * np.float32(255 / 40)).astype(np.uint8)):
            for axis, plane in zip("xy", field, strict=True):
                path = str(root / item.id / f"{axis}_{i:05}.jpg")
                cv2.imwrite(path, plane, [cv2.IMWRITE_JPEG_QUALITY, 95])


def ours(cache: FlowCache, items: tuple[Item, ...]) -> Callable[[np.random.Generator], object]:
    reader = ClipReader(cache, TEMPORAL, SPEC)

    def read(rng: np.random.Generator) -> object:
        return reader.random(items[rng.integers(len(items))], rng)

    return read


def jpegs(root: Path, items: tuple[Item, ...]) -> Callable[[np.random.Generator], object]:
    def read(rng: np.random.Generator) -> object:
        item = items[rng.integers(len(items))]
        (indices,) = random_clips(np.arange(item.fields), SPEC.length, 1, 1, rng)
        view = random_view(HEIGHT, WIDTH, SPEC, rng)
        rows, columns = slice(view.top, view.top + 224), slice(view.left, view.left + 224)
        planes = [
            cv2.imread(str(root / item.id / f"{axis}_{i:05}.jpg"), cv2.IMREAD_GRAYSCALE)
            for i in indices
            for axis in "xy"
        ]
        return np.stack([plane[rows, columns] for plane in planes])

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--algorithm", default="dis")
    parser.add_argument("--clips", type=int, default=1, help="of each UCF101 class")
    parser.add_argument("--stacks", type=int, default=200, help="in a run")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--profile", action="store_true", help="where our time goes")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cache = common.cache_of_ucf101(
            Path(folder) / "cache",
            Recipe.of(options.algorithm, size=f"{WIDTH}x{HEIGHT}"),
            options.clips,
        )
        items = read_index(cache).items
        write_jpegs(Path(folder) / "jpegs", cache, items)
        readers = ours(cache, items), jpegs(Path(folder) / "jpegs", items)

        def run(read: Callable[[np.random.Generator], object]) -> float:
            rng = np.random.default_rng(0)
            return common.core_seconds(lambda: [read(rng) for _ in range(options.stacks)])

        works = [lambda read=read: run(read) for read in readers]
        common.alternate(works, 1)  # opens the files, and fills the system's cache
        times = common.alternate(works, options.repeats)
        print(f"{common.machine()}; {options.algorithm}; {len(items)} clips; one thread")
        rows = [
            [
                name,
                f"{options.stacks / np.median(t):.0f}",
                f"{1e3 * np.median(t) / options.stacks:.2f}",
            ]
            for name, t in zip(("ours", "20 JPEGs"), times, strict=True)
        ]
        print(common.table(["reader", "stacks/s a core", "ms a stack"], rows))
        print(f"ours reads {common.median_ratio(times[1], times[0]):.2f} times as fast")
        if options.profile:
            profile = cProfile.Profile()
            profile.runcall(run, readers[0])
            pstats.Stats(profile).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    main()
