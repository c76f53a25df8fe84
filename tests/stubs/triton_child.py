"""A process that can import Triton, and what it can be asked for; on a GPU, or else in the interpreter.

Triton changes the process that imports it: its interpreter replaces functions of the language, and
PyTorch looks whether it is there. So it lives in a child, which is this file, run as a program.
"""

import contextlib
import importlib.util
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import torch

from flowcache.algorithms._batched.session import gpus
from flowcache.algorithms.tvl1 import torch as tvl1_torch
from flowcache.algorithms.tvl1 import triton as tvl1_triton
from flowcache.algorithms.tvl1.median_network import median_network

BESIDE = Path(sys.prefix) / "beside"  # where `make` puts what only tests need
# The interpreter's time is that of the operations, however large the tile: small tiles are slow.
BIG, SMALL, FLAT = (32, 64, 4), (16, 16, 2), (16, 32, 4)  # rows, columns, depth
BLOCK = 256


class Child:
    """A process that can import Triton; a call has one of the functions below done there.

    It starts with the first call, and again with the next one after it has crashed.
    """

    def __init__(self, root, folder, *, interpreter):
        self.errors, self.process = folder / "errors", None
        paths = [str(root), str(root / "tests" / "stubs"), os.environ.get("PYTHONPATH")]
        self.environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "TRITON_CACHE_DIR": str(folder / "cache"),
            "TRITON_INTERPRET": str(int(interpreter)),
            "OMP_NUM_THREADS": "1",
        }

    def start(self):
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                env={**os.environ, **self.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def __call__(self, function, *args, **named):
        if self.process is None:
            self.start()
        pickle.dump((function.__name__, args, named), self.process.stdin)
        self.process.stdin.flush()
        try:
            works, result = pickle.load(self.process.stdout)
        except EOFError:
            self.close()
            pytest.fail(f"the child is gone: {self.errors.read_text()[-2000:]}")
        assert works, result
        return result

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
            self.process = None


def serve():
    """What the child does until nobody asks any more."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed is no answer
    if importlib.util.find_spec("triton") is None:
        sys.path.append(str(BESIDE))
    torch.set_num_threads(1)
    while True:
        try:
            name, args, named = pickle.load(requests)
        except EOFError:
            return
        try:
            with torch.inference_mode():
                answer = True, globals()[name](*args, **named)
        except Exception:
            answer = False, traceback.format_exc()
        pickle.dump(answer, answers)
        answers.flush()


def require_triton():
    if importlib.util.find_spec("triton") is None and not (BESIDE / "triton").is_dir():
        pytest.skip("Triton is not installed")


def run_python(root, *words, **environment):
    """A program in a process of its own, in which whatever is warned of is an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# What the child can be asked for


@contextlib.contextmanager
def tiles_of(tile):
    """The kernels with tiles of this size, by default with their own."""
    from flowcache.algorithms.tvl1 import triton_kernels as kernels

    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("ROWS", "COLUMNS", "DEPTH"), tile or (), strict=False):
            patch.setattr(kernels, name, value)
        yield kernels


def device():
    return [*gpus(), "cpu"][0]


def on_device(*arrays):
    return [torch.from_numpy(array).to(device()) for array in arrays]


def solved(backend, options, stacks, step=1, tile=None):
    """The flow of one of the batched backends."""
    solver = {"torch": tvl1_torch, "triton": tvl1_triton}[backend].create(**options)
    with tiles_of(tile):
        return solver.solve(on_device(*stacks), step).cpu().numpy()


def called(options, gray):
    return tvl1_triton.create(**options).flow_on(device(), gray).data


def version():
    import triton

    return triton.__version__, tvl1_triton.create().version


def cdiv(count, size):
    return -(-count // size)


def filtered(u, side):
    """The kernel for medians."""
    pairs, _, height, width = u.shape
    network, middle = median_network(side)
    (first,) = on_device(u)
    sides = torch.stack([first, torch.zeros_like(first)])
    state = torch.zeros(pairs, 4, dtype=torch.int32, device=device())
    with tiles_of(None) as kernels:
        kernels.median[(cdiv(height * width, BLOCK), 2 * pairs)](
            sides, state, height, width, 0,
            NETWORK=network, MIDDLE=middle, SIDE=side, TESTED=False, BLOCK=BLOCK,
        )  # fmt: skip
    return sides[1].cpu().numpy()


def linearised(image0, moving, u):
    """The kernel for warps."""
    pairs, height, width = image0.shape
    image0, moving, u = on_device(image0, moving, u)
    linear = torch.zeros_like(moving)
    with tiles_of(None) as kernels:
        kernels.linearise[(cdiv(height * width, BLOCK), pairs)](
            moving, image0, u, linear, height, width, BLOCK=BLOCK
        )
    return linear.cpu().numpy()


def iterated(options, linear, damping, u, p, count, tile, tested):
    """The kernel for iterations: u and p after so many of them, and the sums of |Δu|² of each."""
    pairs, _, height, width = u.shape
    linear, damping, u, p = on_device(linear, damping, u, p)
    u, p = (torch.stack([first, torch.zeros_like(first)]) for first in (u, p))
    with tiles_of(tile) as k:
        rim = 2 * k.DEPTH
        tiles = cdiv(height, k.ROWS - rim) * cdiv(width, k.COLUMNS - rim)
        state = torch.zeros(pairs, 4, dtype=torch.int32, device=device())
        state[:, k.TODO.value] = count
        changes = linear.new_zeros(pairs, tiles, k.DEPTH)
        o = options
        k.iterate[(tiles, pairs)](
            u, p, linear, damping, state, changes, height, width, 0, 0, count,
            o.lambda_ * o.theta, o.theta, o.tau / o.theta,
            TESTED=tested, HALO=k.DEPTH, BH=k.ROWS, BW=k.COLUMNS,
        )  # fmt: skip
    return u[1].cpu().numpy(), p[1].cpu().numpy(), changes.sum(1)[:, :count].cpu().numpy()


def histories(totals, median, tile, tiles):
    """What would have been done to each pair's u and p, if its updates were these (P, outer, inner).

    Only the kernel that decides is run; what is decided about is a list of what was done to it.
    """
    pairs, outer, inner = totals.shape
    state = torch.zeros(pairs, 4, dtype=torch.int32, device=device())
    with tiles_of(tile) as kernels:
        depth = kernels.DEPTH
        changes = torch.zeros(pairs, tiles, depth, device=device())

        def schedule(start):
            kernels.schedule[(pairs,)](
                state, changes, tiles, inner, 1.0, START=start, MEDIAN=median, HALO=depth
            )

        u, p = ([[[], None] for _ in range(pairs)] for _ in range(2))
        for i in range(outer):
            sides = state[:, kernels.U_SIDE.value].tolist()
            for pair in range(pairs if median else 0):
                u[pair][1 - sides[pair]] = [*u[pair][sides[pair]], "median"]
            schedule(start=True)
            for _ in range(cdiv(inner, depth) + 1):
                for pair, (todo, _, u_side, p_side) in enumerate(state.tolist()):
                    if not todo:
                        continue
                    first = sum(done[0] == i for done in p[pair][p_side])
                    done = [(i, n) for n in range(first, first + todo)]
                    u[pair][1 - u_side] = u[pair][u_side] + done
                    p[pair][1 - p_side] = p[pair][p_side] + done
                    # All of them but one have an equal share of the update.
                    share = totals[pair, i, first : first + todo] / (2 * tiles)
                    changes[pair, :, :todo] = torch.from_numpy(share).to(changes)
                    changes[pair, -1, :todo] *= tiles + 1
                schedule(start=False)
        return [
            (u[pair][u_side], p[pair][p_side])
            for pair, (_, _, u_side, p_side) in enumerate(state.tolist())
        ]


if __name__ == "__main__":
    serve()
