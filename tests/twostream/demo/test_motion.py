"""The letters are found again by comparing pixels of one frame and the next, see `seen`."""

from itertools import combinations, pairwise

import cv2
import numpy as np
import pytest

from flowcache import algorithms, plugins
from flowcache.errors import UserError
from flowcache.video.decode import Video
from flowcache.video.resize import Resize
from twostream.demo import motion as demo

STEPS = ((0, 1), (0, -1), (1, 1), (1, -1))  # axis and pixels


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motion")
    demo.render(folder, videos_per_class=4, frames=6)
    return folder


@pytest.fixture(scope="module")
def videos(rendered):
    """The gray frames (T, H, W) of each video, by its path."""
    return {path: gray_of(path) for path in sorted(rendered.rglob("*.avi"))}


def frames_of(path):
    with Video(path) as video:
        return np.concatenate([batch.rgb for batch in video.frames(Resize())])


def gray_of(path):
    rgb = frames_of(path)
    assert np.array_equal(rgb.min(-1), rgb.max(-1)), "noise without colour"
    return rgb[..., 0]


def repeats(gray, axis, step):
    """How often each pixel is what its neighbour was a frame before; (H, W), 1 for always."""
    return np.mean([np.roll(a, step, axis) == b for a, b in pairwise(gray)], 0)


def seen(gray):
    """The background's step, as (axis, pixels), and the letter as a mask; without any flow."""
    always = {step: repeats(gray, *step) for step in STEPS}
    behind = max(STEPS, key=lambda step: np.mean(always[step] == 1))
    axis, step = behind
    return behind, always[axis, -step] > always[behind]


def test_each_video_is_two_layers_that_move_a_pixel_in_opposite_directions(videos):
    for path, gray in videos.items():
        (axis, step), letter = seen(gray)
        explained = np.maximum(repeats(gray, axis, step), repeats(gray, axis, -step))
        # What enters at two sides of the picture, and what is covered and uncovered, has no past.
        assert np.mean(explained[2:-2, 2:-2] == 1) > 0.9, path
        assert 0.06 < letter[2:-2, 2:-2].mean() < 0.35, path


def test_all_directions_occur_and_not_one_with_each_letter(videos):
    steps = {path: seen(gray)[0] for path, gray in videos.items()}
    counts = [list(steps.values()).count(step) for step in STEPS]
    assert min(counts) > 12, counts  # of 104, a quarter each
    one = {
        letter: {s for p, s in steps.items() if p.parent.name == letter} for letter in "ABCDEFGH"
    }
    assert sum(len(found) > 1 for found in one.values()) >= 6


def frame_statistics(gray, letter):
    """Deviations of one frame's statistics from white noise, in their standard errors.

    The mean and the variance within the letter against those outside, and products of neighbours within
    it, outside, and across its border, along both axes.
    """
    noise = (gray - gray.mean()) / gray.std()
    found = []
    for values in (noise, (noise**2 - 1) / np.sqrt(2)):
        parts = values[letter], values[~letter]
        error = np.sqrt(sum(1 / len(part) for part in parts))
        found.append((parts[0].mean() - parts[1].mean()) / error)
    for axis in (0, 1):
        first, second = (np.s_[:-1], np.s_[1:])
        cut = [(each,) if axis == 0 else (slice(None), each) for each in (first, second)]
        products, count = noise[cut[0]] * noise[cut[1]], letter[cut[0]] * 1 + letter[cut[1]]
        for inside in (0, 1, 2):
            part = products[count == inside]
            found.append(part.mean() * np.sqrt(len(part)))
    return np.array(found)


def excess(frames, letters):
    """How far the mean squared deviation is from 1, which it is for white noise, in standard errors."""
    deviations = np.stack([frame_statistics(f, m) for f, m in zip(frames, letters, strict=True)])
    return (np.mean(deviations**2, axis=0) - 1) / np.sqrt(2 / len(frames))


def test_no_statistic_of_a_frame_tells_where_the_letter_is(videos):
    frames = [gray[3].astype(float) for gray in videos.values()]
    letters = [seen(gray)[1] for gray in videos.values()]
    assert np.abs(excess(frames, letters)).max() < 4


def test_the_statistics_would_notice_a_step_between_two_pixels(videos):
    """Half a pixel blurs what the letter shows; with the background as it is, a frame would show it."""
    letters = [seen(gray)[1] for gray in videos.values()]
    frames = [gray[3].astype(float) for gray in videos.values()]
    blurred = [(frame + np.roll(frame, 1, 1)) / 2 for frame in frames]
    spoilt = [np.where(m, b, f) for m, b, f in zip(letters, blurred, frames, strict=True)]
    assert excess(spoilt, letters).max() > 20


def test_the_statistics_notice_what_a_codec_with_motion_compensation_leaves(
    videos, monkeypatch, tmp_path
):
    monkeypatch.setattr(demo, "_LOSSLESS", "mpeg4")
    demo.render(tmp_path, videos_per_class=4, frames=6)
    frames = [frames_of(path)[3].mean(-1) for path in sorted(tmp_path.rglob("*.avi"))]
    letters = [seen(gray)[1] for gray in videos.values()]
    assert excess(frames, letters).max() > 20


def test_the_sign_of_the_flow_gives_the_letter_back(videos):
    flow = plugins.create(algorithms, "tvl1")
    shares = []
    for gray in list(videos.values())[::26]:
        (axis, step), letter = seen(gray)
        along = flow(gray).data[:, 1 - axis] * step  # axis 0 is y, which is a flow's second channel
        shares.append(np.mean((along.mean(0) < 0) == letter))
    assert np.mean(shares) > 0.97, shares
    assert min(shares) > 0.95, shares


def test_videos_of_a_group_show_one_mask_in_other_noise(tmp_path):
    demo.render(tmp_path, classes="K", videos_per_class=demo.GROUPS + 1, frames=6)
    first, again, elsewhere = (
        gray_of(tmp_path / "K" / f"K_{name}.avi") for name in ("g01_c01", "g01_c02", "g02_c01")
    )
    masks = [seen(gray)[1][2:-2, 2:-2] for gray in (first, again, elsewhere)]
    assert np.mean(masks[0] == masks[1]) > 0.97  # but for what the movement covers
    assert np.mean(masks[0] == masks[2]) < 0.95
    for other in (again, elsewhere):
        assert abs(np.corrcoef(first[0].ravel(), other[0].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("classes", [demo.LETTERS, demo.DIGITS, demo.SHAPES])
def test_no_two_outlines_look_alike_and_all_stay_in_the_picture_that_is_seen(classes):
    margin = demo.SIZE * (demo.RESIZE - demo.CROP) // demo.RESIZE // 2
    outlines = {}
    for name in classes:
        outline = demo._outline(name)
        outlines[name] = cv2.resize(outline, (48, 48)) > 127
        for group in range(demo.GROUPS):
            mask = demo._placed(outline, demo.SIZE, np.random.default_rng(group))
            assert mask[margin:-margin, margin:-margin].sum() > 0.97 * mask.sum(), name
    for one, other in combinations(classes, 2):
        either, both = outlines[one] | outlines[other], outlines[one] & outlines[other]
        assert both.sum() < 0.93 * either.sum(), (one, other)


def test_digits_and_shapes_are_rendered_by_name(tmp_path):
    demo.render(tmp_path, classes=("7", "star"), videos_per_class=1, frames=2)
    assert sorted(p.name for p in tmp_path.rglob("*.avi")) == ["7_g01_c01.avi", "star_g01_c01.avi"]


def test_a_class_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(UserError, match="no letter, digit or shape 'ä': choose from A, B"):
        demo.render(tmp_path, classes=("A", "ä"))
    assert not list(tmp_path.iterdir())


def test_the_contact_sheet_has_the_frames_of_different_videos(rendered, videos, tmp_path):
    demo.contact_sheet(rendered, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_GRAYSCALE)
    shown = ["M_g01", "O_g01", "T_g01", "I_g01", "O_g02", "N_g01"]
    places = []
    for stem in shown:
        frame = videos[rendered / stem[0] / f"{stem}_c01.avi"][2][8:-8, 8:-8]
        larger = frame.repeat(2, 0).repeat(2, 1)
        worst, _, place, _ = cv2.minMaxLoc(cv2.matchTemplate(sheet, larger, cv2.TM_SQDIFF_NORMED))
        assert worst < 1e-3, stem
        places.append(place)
    assert places == sorted(set(places))


def test_a_contact_sheet_of_a_word_with_too_few_videos_is_refused(rendered, tmp_path):
    with pytest.raises(UserError, match=r"A holds 4 videos, and the contact sheet needs 5"):
        demo.contact_sheet(rendered, tmp_path / "sheet.png", classes="AAAAA")
