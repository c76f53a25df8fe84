import csv
from itertools import product

import cv2
import numpy as np
import pytest

from flowcache import algorithms, plugins
from flowcache.video.decode import Video
from flowcache.video.resize import Resize
from twostream.demo import discs as demo

CLASSES = [f"{t}-{m}" for t, m in product(demo.TEXTURES, demo.MOVEMENTS)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    demo.render(folder, videos_per_class=2)
    return folder


def frames_of(path):
    with Video(path) as video:
        return np.concatenate([batch.rgb for batch in video.frames(Resize())])


def test_there_is_a_class_for_each_texture_and_movement(videos):
    assert sorted(p.name for p in videos.iterdir()) == sorted(CLASSES)


def test_a_long_video_goes_through_all_movements_without_a_cut_and_says_when(tmp_path):
    demo.render_long(tmp_path / "long.mp4", frames=12)
    with (tmp_path / "long.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["label"] for row in rows) == sorted(CLASSES)
    ends = [float(row["end"]) for row in rows]
    np.testing.assert_allclose(ends, np.arange(1, 17) * 12 / 25, atol=1e-3)
    assert [float(row["start"]) for row in rows] == [0, *ends[:-1]]
    frames = frames_of(tmp_path / "long.mp4").astype(float)
    assert len(frames) == 16 * 12
    jumps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert sorted(np.argsort(jumps)[-3:] + 1) == [48, 96, 144]  # to another texture


def states(movement, count=3000):
    """Height, radius and x of one random frame of each of many videos, (3, count)."""
    drawn = []
    for number in range(count):
        rng = np.random.default_rng([9, demo.MOVEMENTS.index(movement), number])
        path = demo._path(movement, 24, 96, rng.uniform(5, 10), rng)
        frame = rng.integers(24)
        drawn.append((path.y[frame], path.radius[frame], path.x[frame]))
    return np.array(drawn).T


def test_one_frame_tells_nothing_of_the_movement():
    shares = np.linspace(0.05, 0.95, 10)
    drawn = {movement: states(movement) for movement in demo.MOVEMENTS}
    quantiles = {m: np.quantile(values, shares, axis=1) for m, values in drawn.items()}
    for movement in demo.MOVEMENTS[1:]:
        difference = np.abs(quantiles[movement] - quantiles["rise"])
        # Of 3000 draws over some 60 px in height, 25 in radius and 40 in x, a quantile is this sure.
        assert np.all(difference.max(0) < (2.5, 1.5, 2.0)), movement
        correlation = np.corrcoef(drawn[movement])[0, 1]
        assert abs(correlation) < 0.06, "height and size go together"


def test_the_disc_stays_mostly_in_the_picture():
    for movement in demo.MOVEMENTS:
        y, _, x = states(movement, 500)
        assert min(x.min(), y.min()) > 8
        assert max(x.max(), y.max()) < 88


def test_colours_do_not_depend_on_the_movement(videos):
    means = np.array([frames_of(p).mean((0, 1, 2)) for p in sorted(videos.rglob("*.avi"))])
    names = [p.parent.name.split("-")[1] for p in sorted(videos.rglob("*.avi"))]
    overall = means.mean(0)
    for movement in demo.MOVEMENTS:
        mine = means[[name == movement for name in names]]
        sure = means.std(0) / np.sqrt(len(mine))
        assert np.all(np.abs(mine.mean(0) - overall) < 3 * sure), movement


def seen_movement(gray):
    """The movement by the flow alone, without learning: what moves unlike the margin, and how."""
    flow = plugins.create(algorithms, "dis")(gray).data
    margin = np.concatenate([flow[..., :4, :], flow[..., -4:, :]], axis=2)
    flow -= np.median(margin, axis=(2, 3))[..., None, None]
    votes = np.zeros(4)
    rows, columns = np.mgrid[: gray.shape[1], : gray.shape[2]]
    for dx, dy in flow:
        moved = np.hypot(dx, dy) > 0.4 * np.hypot(dx, dy).max()
        right, down = columns - columns[moved].mean(), rows - rows[moved].mean()
        radial = (dx * right + dy * down) / (np.hypot(right, down) + 1)
        up, out = -dy[moved].mean(), radial[moved].mean()
        votes += (up, -up, out, -out)
    return demo.MOVEMENTS[int(votes.argmax())]


def test_the_flow_shows_the_movement_and_a_mirror_keeps_it(videos):
    right = kept = 0
    paths = sorted(videos.rglob("*_g01_*.avi"))
    for path in paths:
        gray = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames_of(path)[4:20]])
        seen = seen_movement(gray)
        right += seen == path.parent.name.split("-")[1]
        kept += seen == seen_movement(np.ascontiguousarray(gray[:, :, ::-1]))
    assert right >= len(paths) - 1
    assert kept >= len(paths) - 1


def test_the_camera_moves(videos):
    """Beside the disc, in a corner, every video's flow is of constant speed and not 0."""
    path = videos / "rings-grow" / "rings-grow_g02_c01.avi"
    gray = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames_of(path)])
    corner = plugins.create(algorithms, "dis")(gray).data[:, :, :16, :16].mean((2, 3))
    assert np.hypot(*corner.mean(0)) > 0.3
    assert np.all(np.hypot(*(corner - corner.mean(0)).T) < 0.3)


def test_the_contact_sheet_shows_every_class(videos, tmp_path):
    demo.contact_sheet(videos, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_COLOR_RGB)
    height, width = sheet.shape[:2]
    assert height > 4 * demo.SIZE
    assert width > 8 * demo.SIZE
    first = frames_of(videos / "dots-rise" / "dots-rise_g01_c01.avi")[11]
    larger = first.repeat(2, 0).repeat(2, 1)
    x, y = cv2.minMaxLoc(cv2.matchTemplate(sheet, larger, cv2.TM_SQDIFF))[2]
    np.testing.assert_array_equal(sheet[y : y + len(larger), x : x + len(larger)], larger)
