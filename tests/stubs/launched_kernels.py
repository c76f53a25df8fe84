"""A program that has TV-L1 launch its kernels for a GPU that is not there: all but the running.

    python launched_kernels.py KIND ARCHITECTURE WARP_SIZE

It prints, as JSON, how many forms of each kernel were compiled, how often each kernel was launched, which
have no machine code, and the most bytes of shared memory that one takes.
"""

import importlib.util
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch

if importlib.util.find_spec("triton") is None:
    sys.path.append(str(Path(sys.prefix) / "beside"))

import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from flowcache.algorithms.tvl1 import triton as tvl1_triton

CASES = [
    {"profile": "accurate", "warps": 1},
    {"profile": "fast", "inner_iterations": 5, "median_filtering": 3},
    {"profile": "opencv", "nscales": 2, "warps": 1, "outer_iterations": 1},
]
SHAPES = [(40, 56), (64, 128), (1, 30), (17, 1), (33, 47)]


class Driver:
    """Of Triton's driver, what is asked of it before a kernel runs."""

    def __init__(self, target: GPUTarget) -> None:
        self.target = target

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def main() -> None:
    kind, architecture, warp_size = sys.argv[1:]
    number = int(architecture) if architecture.isdigit() else architecture
    triton.runtime.driver.set_active(Driver(GPUTarget(kind, number, int(warp_size))))
    compiled, launches, bare, shared = defaultdict(set), Counter(), [], [0]

    def launched(kernel, grid):
        def launch(*arguments, **named):
            result = kernel.run(*arguments, grid=grid, warmup=True, **named)
            compiled[kernel.__name__].add(result.hash)
            launches[kernel.__name__] += 1
            shared.append(result.metadata.shared)
            if not {"cubin", "hsaco"} & result.asm.keys():
                bare.append(kernel.__name__)

        return launch

    JITFunction.__getitem__ = launched
    random = np.random.default_rng(0)
    for options in CASES:
        for shape in SHAPES:
            gray = random.integers(0, 256, (3, *shape)).astype(np.uint8)
            tvl1_triton.create(**options).flow_on("cpu", gray)
    counts = {name: len(hashes) for name, hashes in compiled.items()}
    print(
        json.dumps({"compiled": counts, "launches": launches, "bare": bare, "shared": max(shared)})
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
