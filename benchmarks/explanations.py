"""How fast a class goes with what a map marks, for each method of explanation.

    python benchmarks/explanations.py CACHE RUN [RUN …] [--videos 24] [--methods NAME,…]

Of test videos, evenly spaced in the list, the middle clip is explained for its most probable class. Then
the pixels that a map marks most are removed first (Petsiuk et al. 2018, "RISE", the metric "deletion").
The area is the mean probability of the class over the removed share: the lower, the better. Beside
the methods that suit a network stand maps that know nothing of it: three of random cells of a seventh of
the side, and one that falls off from the centre. "Below random" is the share of the videos in which a
map's area is below the mean of the random ones; the standard error is over videos.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import common
import numpy as np

from flowcache import plugins
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.types import Float32
from twostream.data.clip_reader import Clip, ClipReader
from twostream.data.index import read_index
from twostream.explanation import methods
from twostream.explanation.deletion import deletion_curve
from twostream.explanation.maps import enlarge
from twostream.prediction.networks import Network, load_network

Shape = tuple[int, int, int]


def clips(network: Network, cache: FlowCache, videos: int) -> Iterator[Clip]:
    """The middle clip of evenly spaced test videos."""
    index = read_index(cache, None, network.spec.classes)
    test = network.spec.split.test
    chosen = np.unique(np.linspace(0, len(test) - 1, videos).round().astype(int))
    reader = ClipReader(cache, network.spec.values, network.spec.clip)
    for item in index.select([test[i] for i in chosen]):
        yield reader.even(item, number=0, clips=1, crops=1)


def blind(shape: Shape, rng: np.random.Generator) -> dict[str, list[Float32]]:
    """Maps that know nothing of the network."""
    cells = [rng.random((1, 7, 7)).astype(np.float32) for _ in range(3)]
    y, x = (np.linspace(-1, 1, side) for side in shape[1:])
    centre = np.exp(-2 * (y[:, None] ** 2 + x**2)).astype(np.float32)
    return {
        "random": [enlarge(each, shape) for each in cells],
        "centre": [np.broadcast_to(centre, shape)],
    }


def areas(
    network: Network, cache: FlowCache, videos: int, names: list[str]
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Of each kind of map the area of each video, and the seconds that a method takes for a clip."""
    found: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    rng = np.random.default_rng(0)
    for clip in clips(network, cache, videos):
        label = int(network.logits(clip)[0].argmax())
        shape: Shape = (clip.values.shape[1], *clip.values.shape[3:])
        maps = blind(shape, rng)
        for name in names:
            method: Callable[..., Float32] = plugins.create(methods, name)
            started = time.perf_counter()
            try:
                maps[name] = [method(network, clip, label)]
            except UserError:  # it is for other networks
                continue
            seconds[name] = seconds.get(name, 0) + time.perf_counter() - started
        for name, each in maps.items():
            curves = [deletion_curve(network, clip, one, label) for one in each]
            found.setdefault(name, []).append(float(np.mean([curve.area for curve in curves])))
    count = len(found["random"])
    return found, {name: total / count for name, total in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cache", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--methods", default=",".join(plugins.names(methods)))
    given = parser.parse_args()
    cache = FlowCache.open(given.cache)
    rows = []
    for run in given.runs:
        found, seconds = areas(load_network(run), cache, given.videos, given.methods.split(","))
        random = np.array(found["random"])
        for name, each in found.items():
            gain = random - np.array(each)
            error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
            rows.append(
                [
                    str(run),
                    name,
                    str(len(each)),
                    f"{np.mean(each):.3f}",
                    "" if name == "random" else f"{gain.mean():+.3f} ± {error:.3f}",
                    "" if name == "random" else f"{100 * (gain > 0).mean():.0f} %",
                    f"{seconds[name]:.2f}" if name in seconds else "",
                ]
            )
    header = "run, map, videos, area, lower than random by, below random, seconds a clip"
    print(common.table(header.split(", "), rows))


if __name__ == "__main__":
    main()
