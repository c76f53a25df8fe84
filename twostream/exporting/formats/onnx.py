"""ONNX: the graph and the weights, for onnxruntime and whatever else reads it."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flowcache.errors import UserError
from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.exporting.graph import graph_of, quietly
from twostream.nets.normalize import Normalized
from twostream.prediction.onnx_network import INPUTS, OnnxNetwork, sealed
from twostream.runs.spec import KEY, Spec

OPSET = 18
"""Of ONNX 1.13 (2022), and the one in which PyTorch's translations are written: none is converted."""

IR_VERSION = 8
"""Of the same release."""

DESCRIPTION = f"ONNX, opset {OPSET}"

_LARGEST = 2**31 - 1  # bytes, of a file of Protocol Buffers


def write(model: Normalized, spec: Spec, path: Path) -> None:
    """The graph, with the spec among its properties; see `exporting.formats`."""
    if sum(value.nbytes for value in model.state_dict().values()) > _LARGEST:
        raise UserError(
            "the network is larger than the 2 GB that a file of ONNX may have: export it as .pt2 or "
            ".safetensors",
            "output",
        )
    made = _translated(model, spec)
    made.producer_name, made.producer_version = "twostream", version("twostream")
    graph = made.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]  # where in which file on this machine PyTorch found it
    made.ir_version = IR_VERSION  # what is newer in the exporter's are those properties
    del graph.value_info[:]  # sizes in between, which follow from the rest
    for put, text in zip((*graph.input, *graph.output), _words(spec), strict=True):
        put.type.tensor_type.shape.dim[0].dim_param = "batch"
        put.doc_string = text
    path.write_bytes(sealed(made, {KEY: spec.to_json()}))


def read(path: Path, model: Normalized) -> Callable[[Clip], Float32]:
    """The file as onnxruntime computes it; see `exporting.formats`."""
    return OnnxNetwork.load(path).logits


def _translated(model: Normalized, spec: Spec) -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401 - with which the file is compared
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"writing ONNX needs {error.name}, which is not installed: pip install 'twostream[export]'"
        ) from None
    program = graph_of(model, spec)
    # The one operator of the zoo's for which PyTorch has no translation.
    pool = torch.ops.aten.adaptive_avg_pool3d.default
    with quietly(), torch.no_grad():
        try:
            made = torch.onnx.export(
                program.run_decompositions({pool: _adaptive_avg_pool3d}),
                dynamo=True,
                opset_version=OPSET,
                input_names=INPUTS,
                output_names=["logits"],
                verbose=False,
            )
        except Exception as error:  # of the exporter's own kinds, and of whatever it stands on
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise UserError(
                f"{spec.model} cannot be written as ONNX: {reason}; export it as .pt2"
            ) from error
    assert made is not None  # that is for exporting to a path
    return made.model_proto


def _adaptive_avg_pool3d(maps: Tensor, sizes: Sequence[int]) -> Tensor:
    """What `torch.nn.AdaptiveAvgPool3d` computes of maps (B, C, T, H, W), in slices and means."""
    for axis, size in zip((2, 3, 4), sizes, strict=True):
        whole = maps.shape[axis]
        if whole != size:
            ends = ((n * whole // size, -(-(n + 1) * whole // size)) for n in range(size))
            parts = [maps.narrow(axis, a, b - a).mean(axis, keepdim=True) for a, b in ends]
            maps = torch.cat(parts, axis)
    return maps


def _words(spec: Spec) -> Sequence[str]:
    """What the inputs and the output are, for whoever opens the file in another program."""
    return (
        f"{spec.stream} clips (batch, T, C, H, W), integers as they are stored; normalised within",
        "subtracted from each plane (batch, T, C): the mean displacement of a whole field, else 0",
        "the factor of each channel after that (batch, C): 1 unless the clip was scaled or mirrored",
        f"one for each of {len(spec.classes)} classes, which the property {KEY} names (batch, K)",
    )
