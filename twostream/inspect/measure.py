"""What a network costs, and what each of its layers sees of a clip: measured, not declared.

Networks are built on the meta device, where they have shapes and no weights: none of this depends on
what a network has learnt.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from flowcache.errors import UserError
from twostream.inspect.connections import Connections
from twostream.inspect.values import Layer, Shape

# Every network for clips takes pictures of this side and so many frames; see `layers`.
_SMALL_SIDE = 64
_FEW_FRAMES = 8
# What has a forward of its own and is still no layer: a network inside the network.
_WRAPPERS = ("backbone", "model", "network", "encoder")

Build = Callable[[int], nn.Module]
"""Frames of a clip → a network for such clips."""


def parameters(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(p.numel() for p in network.parameters())


def operations(network: nn.Module, clip: Shape) -> int:
    """Multiply-accumulates of one forward pass, by torch's counter; clip: (T, C, H, W)."""
    with FlopCounterMode(display=False) as counter:
        _run(network, torch.empty(1, *clip, device="meta"))
    return int(counter.get_total_flops()) // 2


def layers(build: Build, clip: Shape) -> list[Layer]:
    """A network's layers in the order in which they run, for one clip (T, C, H, W).

    What has no matrix or kernel and keeps its input's shape, such as a ReLU, is left out. Residual,
    inception and transformer blocks are one layer each. A field is that of the middle unit, or of the
    last in time where that sees more (in a causal network), and it ends where the clip ends.

    Fields in time are measured on a small picture and those in space on few frames, so it is assumed
    that neither depends on the other. Only a convolutional recurrence departs from this: it widens with
    each frame, and is shown after eight.
    """
    network = build(clip[0])
    paths = _layer_paths(network)
    outputs = _outputs(network, paths, torch.empty(1, *clip, device="meta"))
    paths = [path for path, output in outputs.items() if output.changed or _learns(network, path)]
    in_time = _fields(build, paths, _small_picture(clip), clip)
    in_space = _fields(build, paths, _few_frames(clip), clip)
    found: list[Layer] = []
    for path in paths:
        layer = Layer(
            name=_shown(path, paths),
            kind=_kind(network.get_submodule(path)) if path else "",
            size=_size(outputs[path].values),
            field=(in_time[path][0], *in_space[path][1:]),
        )
        if path or not found or (layer.size, layer.field) != (found[-1].size, found[-1].field):
            found.append(layer)
    return found


def temporal_field(build: Build, clip: Shape) -> tuple[int, int]:
    """Frames that reach one unit of the last map or tokens, and one score; clip: (T, C, H, W)."""
    network = build(clip[0])
    outputs = _outputs(network, _layer_paths(network), torch.empty(1, *clip, device="meta"))
    maps = [path for path, output in outputs.items() if _places(output.values) > 1]
    last = maps[-1] if maps else ""
    fields = _fields(build, [last, ""], _small_picture(clip), clip)
    return fields[last][0], fields[""][0]


# Which modules are layers, and what they put out


class _Output(NamedTuple):
    values: Tensor
    changed: bool  # it is of another shape than the module's input


def _layer_paths(network: nn.Module, path: str = "") -> list[str]:
    """The modules that may get a row, and the network itself as the last."""
    found = []
    for name, child in network.named_children():
        below = f"{path}{name}"
        if isinstance(child, nn.Sequential | nn.ModuleList) or name in _WRAPPERS:
            found += _layer_paths(child, f"{below}.")
        else:
            found.append(below)
    return found if path else [*found, ""]


def _learns(network: nn.Module, path: str) -> bool:
    return any(p.ndim > 1 for p in network.get_submodule(path).parameters())


def _shown(path: str, paths: list[str]) -> str:
    """The path without wrappers, unless two layers would then have one name."""

    def short(path: str) -> str:
        return ".".join(part for part in path.split(".") if part not in _WRAPPERS)

    if sum(short(other) == short(path) for other in paths) > 1:
        return path
    return short(path) or "scores"


def _kind(module: nn.Module) -> str:
    """`nn.Conv3d` → conv, `nn.AdaptiveAvgPool2d` → pool."""
    name = re.sub(r"[123]d$", "", type(module).__name__.strip("_").lower())
    return "pool" if name.endswith("pool") else name


def _run(network: nn.Module, clip: Tensor) -> None:
    """One forward pass as in evaluation. UserError where the network cannot take the clip."""
    try:
        network.eval()(clip)
    except UserError:
        raise
    except (RuntimeError, ValueError) as error:
        frames, channels, height, width = clip.shape[1:]
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"it cannot take {frames} × {channels} × {height} × {width}: {reason}"
        ) from error


def _outputs(network: nn.Module, paths: list[str], clip: Tensor) -> dict[str, _Output]:
    """What each of these modules puts out for one clip, in the order in which they run."""
    calls: dict[str, list[Tensor]] = {}
    changed: dict[str, bool] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            tensor = _first_tensor(output)
            changed[path] = tensor.shape != _first_tensor(inputs).shape
            calls.setdefault(path, []).append(_by_time(tensor, clip))

        return hook

    hooks = [network.get_submodule(p).register_forward_hook(note(p)) for p in paths]
    try:
        _run(network, clip)
    finally:
        for hook in hooks:
            hook.remove()
    return {path: _Output(_together(found), changed[path]) for path, found in calls.items()}


def _together(calls: list[Tensor]) -> Tensor:
    # A recurrent cell runs once for each step in time; a ReLU that several layers share does not.
    same = all(call.shape == calls[0].shape for call in calls)
    return torch.cat(calls) if same else calls[-1]


def _first_tensor(values: Any) -> Tensor:
    # An LSTM's states come after its output.
    return values if isinstance(values, Tensor) else _first_tensor(values[0])


def _by_time(output: Tensor, clip: Tensor) -> Tensor:
    """A module's output as maps (T, C, H, W), vectors (T, F) or tokens (1, N, D).

    Frames may be folded into the batch, which is one clip.
    """
    if output.ndim == 3:
        return output.flatten(0, 1)[None]
    if output.ndim == 5:
        # (B, T, C, H, W) as a clip, or (B, C, T, H, W), in which T never grows beyond the clip's.
        frames = clip.shape[1]
        as_a_clip = output.shape[1] == frames < output.shape[2]
        return (output if as_a_clip else output.transpose(1, 2)).flatten(0, 1)
    return output


def _size(output: Tensor) -> tuple[int, ...]:
    if output.ndim == 3:
        return output.shape[2], output.shape[1]
    time, width, *space = output.shape
    return width, time, *(space or (1, 1))


def _places(output: Tensor) -> int:
    """In how many places of a frame, or of the clip for tokens, there is a unit."""
    return output.shape[1] if output.ndim == 3 else output[0, 0].numel()


# Receptive fields


def _fields(
    build: Build, paths: list[str], reduced: Shape, clip: Shape
) -> dict[str, tuple[int, int, int]]:
    """Extents T, H, W of what reaches a unit of each module's output, by backpropagation.

    On a reduced clip, or on the whole one where the network does not take that.
    """
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(1, *reduced, generator=generator, dtype=torch.double).requires_grad_()
    network = build(reduced[0]).double()
    try:
        with torch.enable_grad(), Connections():
            outputs = _outputs(network, paths, values)
    except UserError:
        if reduced == clip:
            raise
        return _fields(build, paths, clip, clip)
    found = {}
    for path, output in outputs.items():
        seen = [_seen(unit, values) for unit in _units(output.values)]
        time, height, width = (max(_extent(one, axis) for one in seen) for axis in (1, 3, 4))
        found[path] = time, height, width
    return found


def _units(output: Tensor) -> list[Tensor]:
    """The unit in the middle of the clip, and the one in the middle of its last frame."""
    if output.ndim == 3:
        return [output[0, output.shape[1] // 2], output[0, -1]]
    middle = (
        output if output.ndim == 2 else output[..., output.shape[-2] // 2, output.shape[-1] // 2]
    )
    return [middle[len(middle) // 2], middle[-1]][: len(middle)]


def _seen(unit: Tensor, clip: Tensor) -> Tensor:
    if not unit.requires_grad:
        return torch.zeros_like(clip, dtype=torch.bool)
    (gradient,) = torch.autograd.grad(unit.sum(), clip, retain_graph=True, allow_unused=True)
    return torch.zeros_like(clip, dtype=torch.bool) if gradient is None else gradient != 0


def _extent(seen: Tensor, axis: int) -> int:
    others = [n for n in range(seen.ndim) if n != axis]
    places = seen.sum(others).nonzero()
    return int(places[-1] - places[0]) + 1 if len(places) else 0


def _small_picture(clip: Shape) -> Shape:
    length, channels, height, width = clip
    return length, channels, min(height, _SMALL_SIDE), min(width, _SMALL_SIDE)


def _few_frames(clip: Shape) -> Shape:
    return min(clip[0], _FEW_FRAMES), *clip[1:]
