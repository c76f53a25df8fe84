"""Two gray pictures a field, one of dx and one of dy, as most two-stream code keeps flow.

A displacement v within ± bound is the value round(255 (v + bound) / (2 bound)), and what lies beyond is
0 or 255. So do dense_flow (Wang, Xiong), denseflow and Feichtenhofer's gpu_flow, all in a function
`convertFlowToImage`, whose `cvRound` rounds halves to even. A value p is read as (2p − 255) bound / 255.
What stands still would be 127.5: it is written as 128 and read as bound / 255 pixels.

Two ways to name the pictures are known, with x and y, or u and v, for dx and dy:

- in a folder for each video, `flow_x_00001.jpg` and `flow_y_00001.jpg` (dense_flow, denseflow). denseflow
  adds a step that is not 1, as `flow_x_p2_00000.jpg`, or `m2` for flow back in time;
- in folders of their own, first (`u/archery/v_01/frame000001.jpg`, Feichtenhofer's data of UCF101 and
  HMDB51) or last (`archery/v_01/u/000001.jpg`).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from flowcache.errors import UserError, printable
from flowcache.exchange.contract import Convention
from flowcache.exchange.formats._numbered import (
    by_number,
    folder_id,
    in_order,
    is_numbered,
)
from flowcache.types import Float32, UInt8

_COMPONENTS = {"x": 0, "u": 0, "y": 1, "v": 1}
_IN_NAME = re.compile(
    r"(flow_)?(?P<component>[xyuv])(_(?P<sign>[pm])(?P<step>\d+))?_(?P<number>\d+)", re.ASCII
)


def is_pair_name(stem: str) -> bool:
    """Whether a name without its ending is that of one component: `flow_x_00001`."""
    return bool(_IN_NAME.fullmatch(stem))


def component_in_name(stem: str, step: int) -> tuple[int, int]:
    """`flow_y_00012` → (1, 12): dy, and its number. Raises UserError where it is of another step."""
    found = _IN_NAME.fullmatch(stem)
    if not found:
        raise UserError(f"{printable(stem)} is no name of a component: write flow_x_00001")
    if found["sign"] == "m":
        raise UserError(f"{stem} is flow back in time, and flow from t to t + step is needed")
    if found["sign"] and int(found["step"]) != step:
        raise UserError(
            f"{stem} is flow of step {int(found['step'])}, and not of {step}: give that step",
            "frame_step",
        )
    return _COMPONENTS[found["component"]], int(found["number"])


def video_of(path: Path, root: Path) -> str | None:
    """The id of the video that a picture belongs to, or None for a picture that is no component."""
    folder = path.parent
    if is_pair_name(path.stem):
        return folder_id(folder, root)
    parts = folder.relative_to(root).parts
    if not parts or not is_numbered(path):
        return None
    if parts[-1].lower() in _COMPONENTS:
        return folder_id(folder.parent, root)
    if parts[0].lower() in _COMPONENTS:
        return "/".join(parts[1:]) or None
    return None


def read(files: Sequence[Path], convention: Convention) -> Iterator[Float32]:
    """The fields of one video, (2, H, W), from its pictures in either naming."""
    for pair in _pairs(files, convention.frame_step):
        values = [read_gray(path) for path in pair]
        if values[0].shape != values[1].shape:
            sizes = ["{1}x{0}".format(*one.shape) for one in values]
            raise UserError(
                f"{printable(pair[0].name)} has {sizes[0]} pixels, and its dy {sizes[1]}"
            )
        # In double precision, so that the bound times an odd fraction is rounded once.
        yield ((2.0 * np.stack(values) - 255) * (convention.bound / 255)).astype(np.float32)


def to_pictures(field: Float32, bound: float) -> UInt8:
    """Displacements → values of pictures, uint8 of the same shape."""
    values = np.empty(field.shape, np.uint8)
    scaled = 255 * (field.astype(np.float64) + bound) / (2 * bound)
    values[...] = np.rint(scaled.clip(0, 255))
    return values


def write(
    place: Path, fields: Iterable[Float32], ending: str, bound: float, settings: Sequence[int] = ()
) -> None:
    """Write `flow_x_00001` and `flow_y_00001` and so on into a folder."""
    place.mkdir(parents=True)
    for number, field in enumerate(fields, 1):
        for axis, values in zip("xy", to_pictures(field, bound), strict=True):
            encoded = cv2.imencode(ending, values, settings)[1]
            (place / f"flow_{axis}_{number:05}{ending}").write_bytes(encoded.tobytes())


def read_gray(path: Path) -> UInt8:
    """A picture of 8 bits and one channel, (H, W)."""
    encoded = np.frombuffer(path.read_bytes(), np.uint8)
    values = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
    if values is None:
        raise UserError(f"{printable(path.name)} is no picture that can be read")
    if values.dtype != np.uint8 or values.ndim != 2:
        raise UserError(f"{printable(path.name)} is no gray picture of 8 bits")
    return np.asarray(values, np.uint8)


def _pairs(files: Sequence[Path], step: int) -> list[tuple[Path, Path]]:
    """The pictures of dx and dy of each field, in order."""
    components: tuple[dict[int, Path], dict[int, Path]] = ({}, {})
    in_folders = defaultdict[Path, list[Path]](list)
    for path in sorted(files):
        if is_pair_name(path.stem):
            component, number = component_in_name(path.stem, step)
            if number in components[component]:
                raise UserError(f"{printable(path.name)} is there twice, with two endings")
            components[component][number] = path
        else:
            in_folders[path.parent].append(path)
    for folder, component in _components_of(list(in_folders)).items():
        components[component].update(by_number(in_folders[folder]))
    dx, dy = components
    if alone := sorted(dx.keys() ^ dy.keys()):
        axis, paths = ("dy", dx) if alone[0] in dx else ("dx", dy)
        raise UserError(
            f"{len(dx)} pictures of dx and {len(dy)} of dy: {printable(paths[alone[0]].name)} has no "
            f"{axis} beside it"
        )
    return in_order({number: (dx[number], dy[number]) for number in dx})


def _components_of(folders: Sequence[Path]) -> dict[Path, int]:
    """Which component lies in each of the folders of a video.

    Their paths differ in that part alone; of a single one it is the last that can be it.
    """
    if len(folders) > 2:
        raise UserError(f"it lies in {len(folders)} folders, and has two components")
    differing = [
        place for place, parts in enumerate(zip(*(f.parts for f in folders), strict=False))
        if len(set(parts)) > 1
    ]  # fmt: skip
    components = {}
    for folder in folders:
        parts = [folder.parts[place] for place in differing] or list(reversed(folder.parts))
        components[folder] = next(_COMPONENTS[p.lower()] for p in parts if p.lower() in _COMPONENTS)
    if len(set(components.values())) < len(folders):
        raise UserError(f"{folders[0].name} and {folders[1].name} hold the same component")
    return components
