"""What a training step costs with each architecture, side by side.

    python benchmarks/models.py [NAME …] [--clip 8x2x64] [--option width=192 …]

Forward and backward of a batch, in float32, after one to warm up, in seconds of one core; the models take
turns, and the figure is the median of the turns. GMAC are of one clip's forward pass; a step needs about
three times as many.
"""

import argparse
import statistics
from collections.abc import Callable

import common
import torch
from torch import nn

from flowcache import plugins
from twostream import models
from twostream.inspect import measure

CLASSES = 5


def build(name: str, shape: tuple[int, int, int], options: list[str]) -> nn.Module:
    """A model for clips (T, C, side)."""
    length, channels, _ = shape
    network: nn.Module = plugins.create(
        models,
        name,
        **plugins.parse_options(models, name, options),
        channels=channels,
        length=length,
        classes=CLASSES,
    )
    return network


def stepper(
    name: str, shape: tuple[int, int, int], batch: int, options: list[str]
) -> Callable[[], float]:
    """Builds the network anew each time, so that only one is in memory; returns seconds a step."""
    length, channels, side = shape

    def run() -> float:
        torch.manual_seed(0)
        network = build(name, shape, options).train()
        clips = torch.randn(batch, length, channels, side, side)
        step = [common.core_seconds(lambda: network(clips).mean().backward()) for _ in range(2)]
        return step[-1]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=plugins.names(models))
    parser.add_argument("--clip", default="8x2x64", help="frames x channels x side")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--option", action="append", default=[], help="of all that are named")
    given = parser.parse_args()
    torch.set_num_threads(1)
    length, channels, side = map(int, given.clip.split("x"))
    shape = (length, channels, side)
    works = [stepper(name, shape, given.batch, given.option) for name in given.names]
    times = common.alternate(works, given.runs)
    rows = []
    for name, seconds in zip(given.names, times, strict=True):
        with torch.device("meta"):
            network = build(name, shape, given.option)
        step = statistics.median(seconds)
        cost = measure.operations(network, (length, channels, side, side)) / 1e9
        millions = measure.parameters(network) / 1e6
        rate = 6 * cost * given.batch / step
        rows.append(
            [
                name,
                f"{millions:.1f} M",
                f"{cost:.2f}",
                f"{1000 * step / given.batch:.0f}",
                f"{rate:.0f}",
            ]
        )
    print(f"one core of {common.machine()}; torch {torch.__version__}")
    print(
        f"clips of {length} frames, {channels} channels, {side}×{side}; batches of {given.batch}\n"
    )
    print(common.table(["model", "parameters", "GMAC", "ms a clip", "GFLOP/s"], rows))


if __name__ == "__main__":
    main()
