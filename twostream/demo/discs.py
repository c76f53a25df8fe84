"""Discs that move: a frame tells one half of the label, and motion the other.

Each video shows a disc with one of four textures that makes one of four movements; the label is the
pair. A single frame shows the texture and tells nothing of the movement: place, size, colours and
camera are drawn alike for all movements, see `_path`. The flow shows the movement and little of the
texture: the outline is always a disc, and every disc carries the same kind of fine grain, which the
flow can follow in all directions. The camera moves too, so that what moves up in the picture need
not rise: the movement is what differs from the background's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from flowcache import algorithms
from flowcache.atomic import write_csv
from flowcache.show.colour import enlarge, flow_to_color
from flowcache.show.files import write_png, write_video
from flowcache.types import Float32, Float64, UInt8
from twostream.demo._contact_sheet import frame_and_flow, table, video_of
from twostream.demo._demo_set import DemoSet, check_numbers, numbered

TEXTURES = ("dots", "checks", "stripes", "rings")
# None of them turns into another when the picture is mirrored left to right, as training does.
MOVEMENTS = ("rise", "fall", "grow", "shrink")
_ROUND_TRIP = ("rise", "grow", "fall", "shrink")

# What is told to the commands for these videos, so that both networks learn their half in a minute or
# two, and are not sure of the half that they cannot see: averaged probabilities forgive no conceit.
SIZE, CROP = 96, 80
EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 20, 16, 0.005, 0.5

RATE = 25
GROUPS = 8
_PERIOD = 0.5  # of a texture, in radii of the disc: 4 stripes across, 2 rings
_GRAIN = 128  # side of the grain's picture, in its own pixels
# Three colours for all: if each video had its own, a network would know a video by its colours, and
# learn these in place of the textures.
_GROUND = np.array([0.42, 0.50, 0.52], np.float32)
_DARK = np.array([0.12, 0.15, 0.26], np.float32)
_BRIGHT = np.array([0.96, 0.88, 0.70], np.float32)
_MPEG4 = {"qmin": "2", "qmax": "2"}  # its finest quantiser: what the codec adds, the flow would see


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the videos of a group are recorded.

    background: float32 (H, W, 3) in 0..1, larger than a frame by what the camera pans.
    light: float32 (h, w, 1), a factor that changes over the frame.
    pan: how far the camera goes from the middle of a video to its end, in pixels.
    """

    background: Float32
    light: Float32
    pan: float


@dataclass(frozen=True, kw_only=True)
class _Path:
    """The disc's centre and radius in each frame, and how far the background moved; (T,), pixels."""

    x: Float64
    y: Float64
    radius: Float64
    shift_x: Float64
    shift_y: Float64


def render(
    folder: Path, *, videos_per_class: int = 16, frames: int = 24, size: int = SIZE, seed: int = 0
) -> None:
    """Write `folder/<texture>-<movement>/<class>_gNN_cMM.avi`, 16 classes, at 25 frames a second.

    videos_per_class: spread over 8 groups; each group is a place with its own background, light and
        speed of the camera.
    frames: of each video; a movement takes all of it, so it is slower in a longer one. With 24 it
        is about 1 px per frame.
    size: height and width in pixels, even.
    The same arguments give the same files. UserError for numbers that make no such video.
    """
    check_numbers(videos_per_class, frames, size, 48)
    for number, (texture, movement) in enumerate(product(TEXTURES, MOVEMENTS)):
        name = f"{texture}-{movement}"
        places = [_place(size, np.random.default_rng([seed, number, g])) for g in range(GROUPS)]
        for video, group, path in numbered(folder, name, videos_per_class, GROUPS):
            rng = np.random.default_rng([seed, number, GROUPS + video])
            way = _path(movement, frames, size, places[group].pan, rng)
            write_video(path, _draw(texture, way, places[group], rng), RATE, "mpeg4", _MPEG4)


def render_long(output: Path, *, frames: int = 36, size: int = SIZE, seed: int = 1) -> None:
    """Write a long video, and `start,end,label` in seconds beside it, as `.csv`.

    For each texture a disc rises, grows, falls and shrinks without a cut, `frames` frames each. The
    places are none of those that `render` shows with another seed.
    """
    check_numbers(1, frames, size, 48)

    def pictures() -> Iterator[UInt8]:
        for number, texture in enumerate(TEXTURES):
            rng = np.random.default_rng([seed, number])
            place = _place(size, rng)
            yield from _draw(texture, _round_trip(frames, size, place.pan, rng), place, rng)

    write_video(output, pictures(), RATE, "mpeg4", _MPEG4)
    rows: list[Sequence[object]] = [("start", "end", "label")]
    for part, (texture, movement) in enumerate(product(TEXTURES, _ROUND_TRIP)):
        start, end = (f"{number * frames / RATE:.3f}" for number in (part, part + 1))
        rows.append((start, end, f"{texture}-{movement}"))
    write_csv(output.with_suffix(".csv"), rows)


def _place(size: int, rng: np.random.Generator) -> _Place:
    pan = rng.uniform(5, 10) * size / 96
    side = size + 2 * int(np.ceil(pan) + 1)
    # Fine enough for the flow to follow, and coarse enough not to look like the sensor's noise.
    noise = 0.18 * _noise(side, 2, rng) + 0.12 * _noise(side, 8, rng)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.12)
    right, down = np.meshgrid(*[np.linspace(-1, 1, size)] * 2)
    light = 1 + strength * (np.cos(angle) * right + np.sin(angle) * down)
    return _Place(
        background=_GROUND * (1 + noise)[..., None],
        light=light[..., None].astype(np.float32),
        pan=pan,
    )


def _path(movement: str, frames: int, size: int, pan: float, rng: np.random.Generator) -> _Path:
    """A disc's way through a video, such that no frame alone tells the movement.

    Two numbers in −1..1 say how high the disc is and how large. A movement leads one of them from
    end to end at a constant pace; the other is drawn at random and stays. So in a frame taken at
    random both are uniform and independent, whatever the movement is.
    """
    time = np.linspace(-1, 1, frames)
    height, growth = (np.full(frames, value) for value in rng.uniform(-1, 1, 2))
    if movement in ("rise", "fall"):
        height = time if movement == "rise" else -time
    else:
        growth = time if movement == "grow" else -time
    return _way(height, growth, time, size, pan, rng)


def _round_trip(frames: int, size: int, pan: float, rng: np.random.Generator) -> _Path:
    """A disc that makes the movements of `_ROUND_TRIP` one after another, back to where it began."""
    there, end = np.linspace(-1, 1, frames), np.ones(frames)
    height = np.concatenate([there, end, -there, -end])
    growth = np.concatenate([-end, there, end, -there])
    return _way(height, growth, np.concatenate([there, -there] * 2), size, pan, rng)


def _way(
    height: Float64,
    growth: Float64,
    panned: Float64,
    size: int,
    pan: float,
    rng: np.random.Generator,
) -> _Path:
    """Height, growth and the camera's place in −1..1, (T,), as pixels."""
    unit = size / 96
    x, y = size / 2 + rng.uniform(-12, 12, 2) * unit
    angle = rng.uniform(0, 2 * np.pi)
    shift_x, shift_y = pan * panned * np.cos(angle), pan * panned * np.sin(angle)
    return _Path(
        x=x + shift_x,
        y=y + shift_y - 16 * unit * height,
        radius=22 * unit * np.exp(0.46 * growth),
        shift_x=shift_x,
        shift_y=shift_y,
    )


def _draw(texture: str, path: _Path, place: _Place, rng: np.random.Generator) -> Iterator[UInt8]:
    """The frames of one video, uint8 (H, W, 3)."""
    size = len(place.light)
    # All about diagonal: were each turned its own way, a network would know a video by its turn.
    angle = np.pi / 4 + rng.uniform(-0.15, 0.15)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    phase_u, phase_v = rng.uniform(0, 2 * np.pi, 2).tolist()
    grain = _noise(_GRAIN, 4, rng)
    columns, rows = np.meshgrid(*[np.arange(size, dtype=np.float32)] * 2)
    states = np.stack([path.x, path.y, path.radius, path.shift_x, path.shift_y], axis=1)
    for x, y, radius, *shift in states.tolist():
        # (u, v): the disc's own coordinates, turned, its rim at 1.
        right, down = (columns - x) / radius, (rows - y) / radius
        u, v = cos * right + sin * down, cos * down - sin * right
        share = 0.5 + 0.5 * np.clip(_texture(texture, u, v, phase_u, phase_v), -1, 1)[..., None]
        half = _GRAIN / 2
        grains = cv2.remap(grain, (u + 1) * half, (v + 1) * half, cv2.INTER_LINEAR)[..., None]
        disc = _DARK + (_BRIGHT - _DARK) * share + 0.1 * grains
        centre = [(len(place.background) - 1) / 2 - s for s in shift]
        behind = cv2.getRectSubPix(place.background, (size, size), centre)
        cover = np.clip((1 - np.hypot(u, v)) * radius + 0.5, 0, 1)[..., None]
        picture = (behind + (disc - behind) * cover) * place.light
        picture += rng.normal(0, 0.008, (size, size, 1))  # the sensor's noise
        yield np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)


def _texture(name: str, u: Float32, v: Float32, phase_u: float, phase_v: float) -> Float32:
    """About −1..1 at points (u, v) of a disc of radius 1; soft, so that a small disc has no aliases."""

    def wave(x: Float32, phase: float) -> Float32:
        return np.asarray(np.cos(x * (2 * np.pi / _PERIOD) + phase), np.float32)

    match name:
        case "dots":
            return 2 * (wave(u, phase_u) + wave(v, phase_v)) - 1.5
        case "checks":
            return 3 * wave(u / 1.5, phase_u) * wave(v / 1.5, phase_v)
        case "stripes":
            return 2 * wave(u, phase_u)
        case "rings":
            return 2 * wave(np.hypot(u, v), phase_u)
    raise ValueError(name)


def _noise(size: int, sigma: float, rng: np.random.Generator) -> Float32:
    """Smooth noise of mean 0 and deviation 1, float32 (size, size); sigma in pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal((size, size), np.float32), (0, 0), sigma)
    noise -= noise.mean()
    return np.asarray(noise / noise.std(), np.float32)


def contact_sheet(folder: Path, output: Path) -> None:
    """Draw one frame of each class beside its flow as PNG: rows are textures, columns movements.

    From each class's first video, in the middle. The flow is DIS's, and its mean is subtracted, as
    it is for the temporal network, so that the camera's share of it is gone. UserError where a
    class has no video in `folder`, or it cannot be read.
    """
    flow = algorithms.create("dis")
    shown = [
        [frame_and_flow(video_of(folder / f"{t}-{m}"), flow) for m in MOVEMENTS] for t in TEXTURES
    ]
    shown = [
        [(rgb, field - field.mean((1, 2), keepdims=True)) for rgb, field in row] for row in shown
    ]
    longest = max(np.hypot(*field).max() for row in shown for _, field in row)
    scale = float(np.ceil(10 * longest) / 10)
    factor = max(1, round(160 / len(shown[0][0][0])))
    cells = [
        [
            enlarge(np.concatenate([rgb, flow_to_color(field, scale)], axis=1), factor)
            for rgb, field in row
        ]
        for row in shown
    ]
    write_png(output, table(cells, TEXTURES, MOVEMENTS, scale))


def create() -> DemoSet:
    """The set as `twostream demo` renders it and learns from it, in some minutes on two cores."""
    return DemoSet(
        render=render,
        contact_sheet=contact_sheet,
        extract=f"--size {SIZE}",
        train=f"--model tiny --crop {CROP} --resize 0 --epochs {EPOCHS} --batch-size {BATCH_SIZE} "
        f"--learning-rate {LEARNING_RATE} --weight-decay {WEIGHT_DECAY} --label-smoothing 0",
        finding="A frame shows the texture and not the movement, flow shows the movement and not the "
        "texture: each stream is right about one half of the label, and their sum about both.",
        render_long=render_long,
    )
