"""Flow algorithms against each other: time of a pair on one thread, and error on Middlebury.

    python benchmarks/flow.py                   # the table and the plot, docs/flow.png
    python benchmarks/flow.py --variants        # tvl1 with one thing changed at a time
    python benchmarks/flow.py --equality        # how far OpenCV's TV-L1 agrees with itself, and with ours
    python benchmarks/flow.py --conditions      # errors on frames that are compressed, noisy, darker

Times are of the four pairs resized to 340x256 and to 640x480: the median over the runs of the mean over
the pairs, the algorithms taking turns. Ratios are medians of the ratios within one run. Errors are mean
end-point errors at the pairs' own sizes.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import cv2
import matplotlib
import numpy as np

from flowcache import algorithms
from flowcache.types import Float32, UInt8, pairwise_flow

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SCENES = ["RubberWhale", "Grove2", "Urban2", "Venus"]
SIZES = [(340, 256), (640, 480)]
Flow = Callable[[UInt8], Float32]


@dataclass(frozen=True)
class Row:
    """One algorithm with its options, as it is named in the table."""

    name: str
    options: str
    flow: Flow

    @property
    def ours(self) -> bool:
        """Whether it is this project's own program."""
        return self.name == "tvl1"


def plugin(name: str, label: str = "", **options: Any) -> Row:
    algorithm = algorithms.create(name, **options)
    label = label or " ".join(
        f"{key.rstrip('_')}={value}".lower() for key, value in options.items()
    )
    return Row(name, label, lambda gray: algorithm(gray).data[0])


def opencv(name: str, flow: Callable[[UInt8, UInt8], Any]) -> Row:
    return Row(f"OpenCV {name}", "", lambda gray: pairwise_flow(gray, flow).data[0])


def colour(gray: UInt8) -> Any:
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)


def rows() -> list[Row]:
    o: Any = cv2.optflow
    fast = {"finest_scale": 2, "patch_stride": 4, "gradient_descent_iterations": 16}
    return [
        plugin("tvl1_opencv"),
        plugin("tvl1", profile="opencv"),
        plugin("tvl1", profile="opencv", exact=False),
        plugin("tvl1", profile="accurate"),
        plugin("tvl1", profile="fast"),
        plugin("farneback"),
        plugin("dis"),
        plugin("dis", "preset fast", **fast),
        opencv("DeepFlow", lambda a, b: o.createOptFlow_DeepFlow().calc(a, b, None)),
        opencv("PCAFlow", lambda a, b: o.createOptFlow_PCAFlow().calc(a, b, None)),
        opencv("SparseToDense", o.calcOpticalFlowSparseToDense),
        opencv("RLOF", lambda a, b: o.calcOpticalFlowDenseRLOF(colour(a), colour(b), None)),
        opencv("SimpleFlow", lambda a, b: o.calcOpticalFlowSF(colour(a), colour(b), 3, 2, 4)),
    ]


def variants() -> list[Row]:
    """The default, and what it would be with one thing changed."""
    changes: list[dict[str, Any]] = [
        {},
        {"nscales": 5},
        {"scale_step": 0.5},
        {"scale_step": 0.65},
        {"warps": 1},
        {"warps": 2},
        {"warps": 5},
        {"warps": 10},
        {"inner_iterations": 15},
        {"inner_iterations": 60},
        {"outer_iterations": 2, "inner_iterations": 15},
        {"median_filtering": 1},
        {"median_filtering": 3},
        {"epsilon": 0.01, "outer_iterations": 10},
        {"presmoothing": 0.0},
        {"presmoothing": 0.8},
        {"five_point_derivative": False},
        {"edge_weight": 0.0},
        {"edge_weight": 0.01},
        {"edge_weight": 0.06},
        {"lambda_": 0.25},
        {"theta": 0.5},
        {"exact": True},
    ]
    return [plugin("tvl1", **change) for change in changes]


def pair(scene: str) -> UInt8:
    folder = common.data() / "middlebury" / scene
    images: Any = [
        cv2.imread(str(folder / f"frame{i}.png"), cv2.IMREAD_GRAYSCALE) for i in (10, 11)
    ]
    return np.stack(images)


def truth(scene: str) -> tuple[Float32, Any]:
    """The flow (2, H, W), and where it is known."""
    path = common.data() / "middlebury" / scene / "flow10.flo"
    width, height = np.fromfile(path, "<i4", 2, offset=4)
    flow = np.fromfile(path, "<f4", offset=12).reshape(height, width, 2).transpose(2, 0, 1)
    return flow, (np.abs(flow) < 1e9).all(0)


def error(flow: Float32, scene: str) -> float:
    """Mean end-point error, pixels."""
    expected, known = truth(scene)
    return float(np.hypot(*(flow - expected))[known].mean())


def seconds(flow: Flow, pairs: list[UInt8]) -> float:
    start = time.perf_counter()
    for gray in pairs:
        flow(gray)
    return (time.perf_counter() - start) / len(pairs)


def at_size(gray: UInt8, size: tuple[int, int]) -> UInt8:
    smaller: Any = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in gray]
    return np.stack(smaller)


def compare(compared: list[Row], sizes: list[tuple[int, int]], repeats: int) -> list[list[str]]:
    """The table's lines; the first algorithm is what the others are compared with."""
    lines = [[row.name, row.options] for row in compared]
    for size in sizes:
        pairs = [at_size(pair(scene), size) for scene in SCENES]
        for row in compared:
            row.flow(pairs[0])
        times = common.alternate(
            [lambda f=row.flow, p=pairs: seconds(f, p) for row in compared],
            repeats,
        )
        for line, mine in zip(lines, times, strict=True):
            line.append(f"{1e3 * statistics.median(mine):.1f}")
            line.append(f"{common.median_ratio(times[0], mine):.1f}")
    for line, row in zip(lines, compared, strict=True):
        errors = [error(row.flow(pair(scene)), scene) for scene in SCENES]
        line += [f"{e:.3f}" for e in [*errors, statistics.mean(errors)]]
    return lines


def plot(lines: list[list[str]], compared: list[Row], path: Path) -> None:
    """Error over time, both logarithmic; left and down is better."""
    figure, axes = plt.subplots(figsize=(8, 5.5))
    for line, row in zip(lines, compared, strict=True):
        x, y = float(line[2]), float(line[-1])
        if not np.isfinite(y):
            continue
        label = f"{row.name} {row.options.removeprefix('profile=')}".strip()
        axes.scatter(x, y, s=45, color="tab:red" if row.ours else "tab:blue", zorder=3)
        left = "exact" in label  # or it would lie on its neighbour
        axes.annotate(
            label, (x, y), (-7 if left else 7, 5), textcoords="offset points",
            ha="right" if left else "left", weight="bold" if row.ours else "normal", fontsize=9,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="ms for a pair of 340×256, one thread")
    axes.set_ylabel("mean end-point error over four Middlebury pairs, px")
    axes.set_xlim(0.8, 6000)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:.1g}")
    axes.yaxis.set_major_formatter("{x:.1g}")
    axes.grid(True, which="both", alpha=0.25)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def equality() -> None:
    """Pixels within 0.1 px of OpenCV's TV-L1, and mean distance; its own last digits shift it too."""
    reference = plugin("tvl1_opencv")
    others = [plugin("tvl1", profile="opencv"), plugin("tvl1", profile="opencv", exact=False)]
    table = []
    for scene in SCENES:
        gray = pair(scene)
        expected = reference.flow(gray)
        flows = {f"{row.name} {row.options}": row.flow(gray) for row in others}
        cv2.setUseOptimized(False)
        flows["OpenCV itself, without its vector code"] = reference.flow(gray)
        cv2.setUseOptimized(True)
        for name, flow in flows.items():
            distance = np.hypot(*(flow - expected))
            same = (distance == 0).mean()
            table.append(
                [
                    scene,
                    name,
                    f"{same:.2%}",
                    f"{(distance < 0.1).mean():.2%}",
                    f"{distance.mean():.5f}",
                ]
            )
    print(common.table(["pair", "", "identical", "within 0.1 px", "mean px"], table))


def compressed(gray: UInt8) -> UInt8:
    def through_jpeg(image: UInt8) -> Any:
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])
        return cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)

    return np.stack([through_jpeg(image) for image in gray])


def noisy(gray: UInt8) -> UInt8:
    noise = np.random.default_rng(0).normal(0, 5, gray.shape)
    return np.clip(np.rint(gray + noise), 0, 255).astype(np.uint8)


def darker(gray: UInt8) -> UInt8:
    """The second frame alone."""
    return np.stack([gray[0], np.rint(0.95 * gray[1]).astype(np.uint8)])


def conditions(compared: list[Row]) -> None:
    """Errors when the frames are not what a laboratory's camera gives."""
    changes = {
        "as they are": lambda gray: gray,
        "JPEG of quality 40": compressed,
        "noise, σ = 5 gray levels": noisy,
        "second frame 5 % darker": darker,
    }
    table = []
    for condition, change in changes.items():
        for row in compared:
            errors = [error(row.flow(change(pair(scene))), scene) for scene in SCENES]
            mean = statistics.mean(errors)
            table.append([condition, row.name, row.options, *(f"{e:.3f}" for e in [*errors, mean])])
    print(common.table(["frames", "algorithm", "options", *SCENES, "mean"], table))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--variants", action="store_true")
    parser.add_argument("--equality", action="store_true")
    parser.add_argument("--conditions", action="store_true")
    parser.add_argument("--plot", type=Path, default=common.ROOT / "docs" / "flow.png")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{common.machine()}; OpenCV {cv2.__version__}, one thread\n")
    if arguments.equality:
        equality()
        return
    if arguments.conditions:
        conditions([row for row in rows() if not row.name.startswith("OpenCV")])
        return
    chosen = variants() if arguments.variants else rows()
    sizes = SIZES[:1] if arguments.variants else SIZES
    lines = compare(chosen, sizes, arguments.repeats)
    faster = "× default" if arguments.variants else "× OpenCV TV-L1"
    header = ["algorithm", "options"]
    for width, height in sizes:
        header += [f"ms {width}x{height}", faster]
    print(common.table([*header, *SCENES, "mean"], lines))
    if not arguments.variants:
        plot(lines, chosen, arguments.plot)


if __name__ == "__main__":
    main()
