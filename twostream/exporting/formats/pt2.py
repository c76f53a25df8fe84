"""PyTorch's exported program: the graph and the weights, for AOTInductor, ExecuTorch and C++.

PyTorch's own reader of these files, `torch.export.load`, unpickles what the file says is pickled, and
evaluates expressions of sizes: a file can hold code. So nothing here reads one but that just written.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.exporting.graph import graph_of, quietly
from twostream.nets.normalize import Normalized
from twostream.runs.spec import KEY, Spec

DESCRIPTION = f"torch.export of PyTorch {torch.__version__}"


def write(model: Normalized, spec: Spec, path: Path) -> None:
    """The graph, and the spec as the extra file `twostream.json`; see `exporting.formats`."""
    program = graph_of(model, spec)
    with path.open("wb") as file, quietly():
        torch.export.save(program, file, extra_files={f"{KEY}.json": spec.to_json()})


def read(path: Path, model: Normalized) -> Callable[[Clip], Float32]:
    """The program as a function; see `exporting.formats`."""
    with path.open("rb") as file, quietly():
        program = torch.export.load(file).module()

    @torch.inference_mode()
    def logits(clip: Clip) -> Float32:
        found: Float32 = program(*map(torch.from_numpy, clip)).numpy()
        return found

    return logits
