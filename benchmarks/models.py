"""What a training step costs with each architecture, side by side.

    python benchmarks/models.py [NAME …] [--clip 8x2x64] [--option width=192 …]

Forward and backward of a batch, in float32, after one to warm up, in seconds of one core; the models take
turns, and the figure is the median of the turns. GMAC are of one clip's forward pass; a step needs about
three times as many.
"""

import argparse
import inspect
import statistics
from collections.abc import Callable

import common
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from flowcache import plugins
from twostream import models

CLASSES = 5


def build(name: str, shape: tuple[int, int, int], wanted: list[str]) -> nn.Module:
    """A model with those of the wanted options that it has."""
    known = inspect.signature(plugins.module(models, name).create).parameters
    texts = [text for text in wanted if text.partition("=")[0] in known]
    length, channels, _ = shape
    network: nn.Module = plugins.create(
        models,
        name,
        **plugins.parse_options(models, name, texts),
        channels=channels,
        length=length,
        classes=CLASSES,
    )
    return network


def gmac(network: nn.Module, shape: tuple[int, int, int]) -> float:
    """Of one clip's forward pass."""
    length, channels, side = shape
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, length, channels, side, side))
    return counter.get_total_flops() / 2e9


def stepper(
    name: str, shape: tuple[int, int, int], batch: int, wanted: list[str]
) -> Callable[[], float]:
    """Builds the network anew each time, so that only one is in memory; returns seconds a step."""
    length, channels, side = shape

    def run() -> float:
        torch.manual_seed(0)
        network = build(name, shape, wanted).train()
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
    parser.add_argument("--option", action="append", default=[], help="for models that have it")
    given = parser.parse_args()
    torch.set_num_threads(1)
    length, channels, side = map(int, given.clip.split("x"))
    shape = (length, channels, side)
    works = [stepper(name, shape, given.batch, given.option) for name in given.names]
    times = common.alternate(works, given.runs)
    rows = []
    for name, seconds in zip(given.names, times, strict=True):
        network, step = build(name, shape, given.option), statistics.median(seconds)
        cost = gmac(network, shape)
        millions = sum(p.numel() for p in network.parameters()) / 1e6
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
