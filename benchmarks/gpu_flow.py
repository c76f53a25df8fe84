"""TV-L1 on a GPU: how fast, how near to what the card can do, and how near to the CPU's flow.

    python benchmarks/gpu_flow.py                     # all of it, on rendered frames
    python benchmarks/gpu_flow.py --videos FOLDER     # on these videos' frames; and whole extractions
    python benchmarks/gpu_flow.py --middlebury DATA   # the flow on DATA/middlebury/SCENE/ as well
    python benchmarks/gpu_flow.py --only card ratios  # some of it
    python benchmarks/gpu_flow.py --tiles             # the kernel's tiles, one setting after the other
    python benchmarks/gpu_flow.py --half-duals        # what p as float16 would cost; needs no GPU
    python benchmarks/gpu_flow.py --dry-run           # this program itself; needs Triton, but no GPU

Times are the device's own, medians of runs that follow one for compilation; what is compared takes turns.
"Least" times are numbers moved and operations done, counted, over what this card reaches in the same run.
"""

import argparse
import contextlib
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import common
import torch
from gpu.accuracy import accuracy, half_duals
from gpu.bounds import ceilings, least, tile_floors
from gpu.setting import (
    PROFILES,
    Setting,
    agreement,
    enqueuing,
    median_seconds,
    number,
    runs,
    show,
    stacks,
    tiny,
)
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity

from flowcache.algorithms.tvl1 import triton as in_triton

LONGEST = 1.0  # s; no larger batch is tried after one that takes longer
DEPTH = 4  # of the kernels, for where Triton is not installed
KERNELS = ("iterate", "linearise", "median", "schedule")
# Rows, columns, iterations at once, warps.
TILES = [
    *("32x64x4x4", "32x64x4x8", "32x64x4x16", "32x32x4x4", "32x32x4x8", "16x64x4x4", "16x64x4x8"),
    *("64x64x4x8", "64x64x4x16", "32x64x2x8", "32x64x3x8", "32x64x5x8", "32x64x8x8", "64x64x5x16"),
]
Solve = Callable[[Sequence[Tensor], int], Tensor]


# The card


def card(setting: Setting) -> None:
    import triton

    name = torch.cuda.get_device_name() if setting.on_gpu else "No GPU: none of the figures counts"
    print(f"{name}; {common.machine()}; PyTorch {torch.__version__}, Triton {triton.__version__}\n")
    bandwidth, rate = ceilings(setting)
    print(f"copies: {bandwidth / 1e9:.0f} GB/s, read and written")
    print(f"float32: {rate / 1e12:.1f} TFLOP/s, in multiply-adds of two each\n")


# Pairs a second


def rates(setting: Setting) -> None:
    header = ["profile", *(f"batch {batch}" for batch in setting.batches)]
    for size in setting.sizes:
        rows = []
        for profile in PROFILES:
            speeds, cells = by_batch(setting, size, profile)
            rows.append([profile, *cells])
            if size == setting.sizes[0]:
                setting.best[profile] = max(speeds, key=lambda batch: speeds[batch])
        show(header, rows, "The backend triton at {}x{}: pairs/s (GiB at the peak)".format(*size))


def by_batch(
    setting: Setting, size: tuple[int, int], profile: str
) -> tuple[dict[int, float], list[str]]:
    """Pairs/s of each batch, and the cells of the table."""
    solver, speeds, cells = setting.tvl1("triton", profile), {}, []
    for batch in setting.batches:
        if speeds and max(speeds) / speeds[max(speeds)] > LONGEST:
            cells.append("not tried")
            break
        try:
            given = stacks(setting, size, batch)
            if setting.on_gpu:
                torch.cuda.reset_peak_memory_stats()
            speeds[batch] = batch / median_seconds(setting, partial(solver.solve, given, 1))
            peak = torch.cuda.max_memory_allocated() / 2**30 if setting.on_gpu else float("nan")
            cells.append(f"{number(speeds[batch])} ({peak:.2f})")
        except torch.OutOfMemoryError:
            cells.append("out of memory")
            break
    setting.forget()
    return speeds, cells + [""] * (len(setting.batches) - len(cells))


# Ratios


class TwoKernels(in_triton._Level):
    """The same, but each iteration is two passes over the memory."""

    def iterate(self, count: int, *, tested: bool) -> None:
        """A pixel a lane; from one side to the other as the original, and then in place."""
        from gpu import kernels

        assert not tested
        o, block = self.options, 256
        grid = (-(-self.height * self.width // block), self.pairs)
        how = {"BLOCK": block, "num_warps": block // 32}
        u, p, shape = self.u[self.u_side], self.p[self.p_side], (self.height, self.width)
        new_u, new_p = self.u[1 - self.u_side], self.p[1 - self.p_side]
        for _ in range(count):
            kernels.primal[grid](
                u, new_u, p, self.linear, *shape, o.lambda_ * o.theta, o.theta, **how
            )
            kernels.dual[grid](new_u, p, new_p, self.damping, *shape, o.tau / o.theta, **how)
            u, p = new_u, new_p


def with_level(level: type, solver: Any) -> Solve:
    """The solver, with another class for what happens within a level."""

    def solve(given: Sequence[Tensor], step: int) -> Tensor:
        with mock.patch.object(in_triton, "_Level", level):
            return solver.solve(given, step)

    return solve


def ratios(setting: Setting) -> None:
    size = setting.sizes[0]
    rows, bounds = [], []
    for profile in PROFILES:
        solver = setting.tvl1("triton", profile)
        others = {"torch": setting.tvl1("torch", profile).solve}
        if not solver.epsilon:
            others["two kernels an iteration"] = with_level(TwoKernels, solver)
        sample = stacks(setting, size, min(8, max(setting.batches)))
        expected = solver.solve(sample, 1)
        agreements = [agreement(solve(sample, 1), expected) for solve in others.values()]
        batch, times = compared(setting, profile, [solver.solve, *others.values()])
        for name, agreed, mine in zip(others, agreements, times[1:], strict=True):
            faster = common.median_ratio(mine, times[0])
            rows.append([profile, str(batch), name, f"{faster:.2f}", *agreed])
        if not solver.epsilon:
            measured = [statistics.median(times[i]) / batch for i in (0, 2)]
            bounds += [[profile, *line] for line in least(setting, solver, *measured)]
    header = ["profile", "batch", "against", "times as fast", "within 0.1 px", "mean px", "max px"]
    show(header, rows, "The backend triton at {}x{}, and how far the others' flow is".format(*size))
    header = ["profile", "", "million pixel-iterations", "bytes each", "FLOP each"]
    header += ["least µs: memory", "least µs: arithmetic", "µs measured", "measured / least"]
    show(header, bounds, "A pair's iterations at their least, and its whole flow as measured")


def compared(setting: Setting, profile: str, solves: Sequence[Solve]) -> tuple[int, list[Any]]:
    """The times of each at the best batch, or at a smaller one that all have memory for."""
    batch = setting.best[profile]
    while True:
        with contextlib.suppress(torch.OutOfMemoryError):
            given = stacks(setting, setting.sizes[0], batch)
            return batch, runs(setting, *(partial(solve, given, 1) for solve in solves))
        setting.forget()
        batch //= 2


# Where the time goes


def where(setting: Setting) -> None:
    """The host's time is that of launches in small batches: a thousand ahead, it waits for the device."""
    size = setting.sizes[0]
    solver = setting.tvl1("triton", "accurate")
    costs, shares = [], []
    for batch in sorted({1, setting.best["accurate"]}):
        work = partial(solver.solve, stacks(setting, size, batch), 1)
        device = median_seconds(setting, work)
        host = statistics.median(enqueuing(setting, work) for _ in range(setting.repeats))
        kernels = by_kernel(setting, work)
        busy = sum(took for took, _ in kernels.values())
        launches = sum(count for _, count in kernels.values())
        times = [milliseconds(took) for took in (host, device, busy)]
        costs.append([str(batch), str(launches), *times])
        kernels["none runs"] = max(device - busy, 0.0), 0
        for name, (took, count) in sorted(kernels.items(), key=lambda item: -item[1][0]):
            share = [milliseconds(took), f"{took / device:.1%}"]
            shares.append([str(batch), name, str(count), *share])
        slower = kernels.get("iterate", (0.0, 0))[0] / (batch * max(tile_floors(setting, solver)))
        shares.append([str(batch), "iterate / its least time", "", f"{slower:.2f}", ""])
    print("The backend triton, accurate, at {}x{}\n".format(*size))
    header = ["batch", "launches", "host ms", "device ms", "kernels ms"]
    show(header, costs, "Until all is enqueued, from the first start to the last end, and running")
    header = ["batch", "kernel", "launches", "ms", "of the batch"]
    show(header, shares, "Where the device's time goes")


def milliseconds(took: float) -> str:
    return f"{1e3 * took:.3f}"


def by_kernel(setting: Setting, work: Callable[[], object]) -> dict[str, tuple[float, int]]:
    """Seconds and launches of each of our kernels, and of all of PyTorch's together."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if setting.on_gpu else [])]
    kind = DeviceType.CUDA if setting.on_gpu else DeviceType.CPU
    setting.synchronize()
    with torch.profiler.profile(activities=activities) as profiler:
        work()
        setting.synchronize()
    found: dict[str, tuple[float, int]] = {}
    for event in profiler.key_averages():
        if event.device_type != kind:  # the host's side of the same work
            continue
        name = next((k for k in KERNELS if event.key.startswith(k)), "PyTorch's: pyramids and such")
        took, count = found.get(name, (0.0, 0))
        more = event.self_device_time_total if setting.on_gpu else event.self_cpu_time_total
        found[name] = took + more / 1e6, count + event.count
    return found


# Tiles


class Tiled(in_triton._Level):
    """The same, with warps of its own for `iterate` alone."""

    warps = 4

    def iterate(self, count: int, *, tested: bool) -> None:
        """As the original."""
        with mock.patch.dict(in_triton._COMPILED, num_warps=self.warps):
            super().iterate(count, tested=tested)


def tiles(setting: Setting, chosen: Sequence[str]) -> None:
    """A line for each as it comes, since compiling them takes long."""
    size, batch = setting.sizes[0], setting.best["accurate"]
    solver = setting.tvl1("triton", "accurate")
    given = stacks(setting, size, batch)
    expected = solver.solve(given, 1)
    print("The backend triton, accurate, at {}x{}, batches of {}:\n".format(*size, batch))
    print("| rows x columns x iterations x warps | pairs/s | compiling s | within 0.1 px |")
    print("|---|---|---|---|", flush=True)
    for tile in chosen:
        try:
            speed, compiling, flow = of_tile(setting, solver, given, tile)
        except Exception as failed:  # too much shared memory, too many registers, no power of two …
            reason = f"{type(failed).__name__}: {failed}".partition("\n")[0]
            print(f"| {tile} | {reason} | | |", flush=True)
            continue
        within = agreement(flow, expected)[0]
        print(f"| {tile} | {number(batch * speed)} | {compiling:.0f} | {within} |", flush=True)
    print()


def of_tile(
    setting: Setting, solver: Any, given: Sequence[Tensor], tile: str
) -> tuple[float, float, Tensor]:
    """Batches a second, seconds of compilation, and the flow."""
    from flowcache.algorithms.tvl1 import triton_kernels as kernels

    rows, columns, depth, Tiled.warps = map(int, tile.split("x"))
    solve = with_level(Tiled, solver)
    with mock.patch.multiple(kernels, ROWS=rows, COLUMNS=columns, DEPTH=depth):
        start = time.perf_counter()
        flow = solve(given, 1)
        setting.synchronize()
        compiling = time.perf_counter() - start
        return 1 / median_seconds(setting, partial(solve, given, 1)), compiling, flow


def extraction(setting: Setting) -> None:
    if setting.videos:
        from gpu.extraction import compare  # what it imports is not needed for the rest

        compare(setting)


SECTIONS = {
    "card": card,
    "rates": rates,
    "ratios": ratios,
    "where": where,
    "accuracy": accuracy,
    "extraction": extraction,
}


def guarded(name: str, section: Callable[[], None]) -> bool:
    """Whether it went well; what fails leaves the others be."""
    start = time.monotonic()
    try:
        section()
    except Exception as failed:
        traceback.print_exc()
        print(f"{name} FAILED: {type(failed).__name__}: {failed}\n")
        return False
    finally:
        print(f"({name}: {time.monotonic() - start:.0f} s)\n", flush=True)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=Path, metavar="FOLDER")
    parser.add_argument("--middlebury", type=Path, metavar="DATA", help="holds middlebury/SCENE/")
    parser.add_argument("--jobs", type=int, default=common.cores(), help="of the extractions")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--tiles", nargs="*", metavar="ROWSxCOLUMNSxDEPTHxWARPS")
    parser.add_argument("--half-duals", type=int, nargs="?", const=DEPTH, metavar="DEPTH")
    parser.add_argument("--dry-run", action="store_true")
    o = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    if not (has_gpu or o.dry_run or o.half_duals):
        sys.exit("no GPU here that PyTorch can use: only --half-duals and --dry-run do without one")
    given = {"videos": o.videos, "middlebury": o.middlebury, "jobs": o.jobs}
    if o.dry_run:
        os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are imported
        setting = tiny(**given)
    else:
        setting = Setting(device="cuda" if has_gpu else "cpu", **given)
    works = {name: partial(SECTIONS[name], setting) for name in o.only}
    sweep = partial(tiles, setting, o.tiles or (TILES[:1] if o.dry_run else TILES))
    halves = partial(half_duals, setting, o.half_duals or DEPTH)
    if o.dry_run:
        works |= {"tiles": sweep, "half-duals": halves}
    elif o.half_duals:
        works = {"half-duals": halves}
    elif o.tiles is not None:
        works = {"tiles": sweep}
    with torch.inference_mode():
        well = [guarded(name, work) for name, work in works.items()]
    sys.exit(not all(well))


if __name__ == "__main__":
    main()
