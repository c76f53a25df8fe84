"""TV-L1 on one core: against OpenCV's, against a plain version, against known motion."""

import dataclasses

import cv2
import made_videos as made
import middlebury
import numpy as np
import pytest
import tvl1_oracle

from flowcache.algorithms import tvl1_opencv
from flowcache.algorithms.tvl1.cpu import TVL1
from flowcache.algorithms.tvl1.options import PROFILES
from flowcache.video.decode import Video
from flowcache.video.resize import Resize

pytestmark = pytest.mark.usefixtures("one_opencv_thread")
every_profile = pytest.mark.parametrize("profile", PROFILES)


def texture(height=96, width=112, seed=0):
    return made.scene(height, width, seed=seed).astype(np.float32)


def as_gray(*images):
    return np.clip(np.rint(np.stack(images)), 0, 255).astype(np.uint8)


def video_pairs(path, count, size="240"):
    """Neighbouring frames, spread over the video: uint8 (2, H, W) each."""
    with Video(path) as video:
        frames = np.concatenate([f.rgb for f in video.frames(Resize.parse(size))])
    gray = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames]
    starts = np.linspace(0, len(gray) - 2, count).astype(int)
    return [np.stack(gray[i : i + 2]) for i in starts]


# OpenCV's flow


def assert_equal_to_opencv(gray, **options):
    ours = TVL1(profile="opencv", **options)(gray).data
    theirs = tvl1_opencv.create(**options)(gray).data
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nscales": 1, "warps": 1},
        {"epsilon": 0.0, "inner_iterations": 3, "outer_iterations": 4, "warps": 2},
        {"epsilon": 0.1, "median_filtering": 3},
        {"median_filtering": 1, "scale_step": 0.5},
        {"tau": 0.2, "lambda_": 0.3, "theta": 0.2, "scale_step": 0.7},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(33, 47), (16, 120)], ids=str)
def test_with_opencvs_profile_the_flow_is_opencvs_to_the_last_bit(options, shape):
    for seed, (dx, dy) in enumerate([(1.5, -0.7), (-4, 3)]):
        assert_equal_to_opencv(made.moving_scene(2, *shape, dx, dy, seed), **options)


@pytest.mark.parametrize("shape", [(72, 88), (64, 64)], ids=str)
def test_the_flow_is_opencvs_to_the_last_bit_through_all_levels(shape):
    assert_equal_to_opencv(made.moving_scene(2, *shape, -4, 3, 1))


@pytest.mark.parametrize("scene", ["RubberWhale", "Venus"])
def test_opencvs_flow_on_parts_of_middlebury(data, scene):
    gray = middlebury.frames(data, scene)
    assert_equal_to_opencv(np.ascontiguousarray(gray[:, 100:260, 120:310]))


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["RubberWhale", "Grove2", "Urban2", "Venus"])
def test_opencvs_flow_on_middlebury(data, scene):
    assert_equal_to_opencv(middlebury.frames(data, scene))


@pytest.mark.slow
@pytest.mark.parametrize("clip", range(2))
def test_opencvs_flow_on_whole_videos(data, clip):
    path = sorted((data / "clips").glob("*.mp4"))[clip]
    for gray in video_pairs(path, 10):
        assert_equal_to_opencv(gray)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(4))
def test_opencvs_flow_on_ucf101(data, group):
    folders = sorted(p for p in (data / "ucf101" / "videos").iterdir() if p.is_dir())
    assert len(folders) == 5
    for folder in folders:
        (gray,) = video_pairs(sorted(folder.glob("*_c01.avi"))[group], 1)
        assert_equal_to_opencv(gray)


def test_without_its_order_of_rounding_the_flow_is_opencvs_nearly_everywhere(data):
    gray = np.ascontiguousarray(middlebury.frames(data, "RubberWhale")[:, 100:260, 120:310])
    ours = TVL1(profile="opencv", exact=False)(gray).data[0]
    theirs = tvl1_opencv.create()(gray).data[0]
    assert (np.hypot(*(ours - theirs)) < 0.1).mean() > 0.99


# The plain version


def differences_to_the_oracle(gray, algorithm):
    options = dataclasses.asdict(algorithm)
    del options["profile"], options["exact"]
    plain = tvl1_oracle.tvl1(*gray, **options)
    return np.hypot(*(algorithm(gray).data[0] - plain))


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "fast"},
        {"profile": "accurate", "warps": 2, "inner_iterations": 9},
        {"profile": "accurate", "warps": 1, "inner_iterations": 7, "outer_iterations": 2},
        {"profile": "opencv", "exact": False, "warps": 2, "nscales": 3},
        {"profile": "opencv", "warps": 2, "nscales": 2, "epsilon": 0.05},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(33, 64), (57, 31)], ids=str)
def test_it_computes_what_the_plain_version_does(options, shape):
    gray = made.moving_scene(2, *shape, 1.3, -0.6, 2)
    gray[1, 10:20, 12:30] = gray[0, 10:20, 12:30]  # something that moves otherwise
    difference = differences_to_the_oracle(gray, TVL1(**options))
    # One works in single precision and the other in double, and each threshold amplifies that.
    assert np.quantile(difference, 0.95) < 2e-3
    assert np.median(difference) < 1e-4


def test_the_iterations_end_where_the_update_falls_under_the_threshold():
    gray = made.moving_scene(2, 48, 64, 0.5, 0.2, 0)
    flows = [
        TVL1(nscales=1, warps=1, inner_iterations=n, epsilon=0.01)(gray).data
        for n in (1, 2, 100, 200)
    ]
    assert not np.array_equal(flows[0], flows[1])
    np.testing.assert_array_equal(flows[2], flows[3])


# Known motion

AFFINE = {
    "translation": (0, 1, 1.37, -0.81),
    "rotation": (3, 1, 0, 0),
    "zoom in": (0, 1.05, 0, 0),
    "zoom out": (0, 0.95, 0, 0),
    "all of them": (-2, 1.03, 0.6, 1.1),
}


def moved(image, angle, zoom, dx, dy):
    """The image under a motion about its middle, and the flow that leads there, (2, H, W)."""
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, zoom)
    matrix[:, 2] += dx, dy
    y, x = np.mgrid[:height, :width].astype(float)
    flow = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)])) - np.stack([x, y])
    after = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return after, flow


@every_profile
@pytest.mark.parametrize("motion", AFFINE)
def test_known_motions_are_found_to_a_fraction_of_a_pixel(profile, motion):
    first = texture(seed=5)
    second, expected = moved(first, *AFFINE[motion])
    flow = TVL1(profile=profile)(as_gray(first, second)).data[0]
    error = np.hypot(*(flow - expected))[12:-12, 12:-12]
    assert error.mean() < 0.08


def test_the_accurate_profile_finds_motion_that_opencvs_pyramid_is_too_small_for():
    first = texture(seed=5)
    second, expected = moved(first, 0, 1, 6.4, 5.3)

    def error(algorithm):
        flow = algorithm(as_gray(first, second)).data[0]
        return np.hypot(*(flow - expected))[12:-12, 12:-12].mean()

    assert error(TVL1(profile="accurate")) < 0.2
    assert error(TVL1(profile="opencv")) > 1


def test_a_change_of_light_is_not_taken_for_large_motion():
    first = 100 + 0.05 * texture(192, 208, seed=5)  # faint, as walls and skies are
    second, expected = moved(first, 0, 1, 1.2, -0.7)

    def error(**options):
        flow = TVL1(**options)(as_gray(first, 0.95 * second)).data[0]
        return np.hypot(*(flow - expected))[12:-12, 12:-12].mean()

    assert error() < 0.4 * error(coarse_texture=0.0)


@every_profile
@pytest.mark.parametrize("shape", [(40, 56), (61, 35)], ids=str)
@pytest.mark.parametrize("axis", [2, 1], ids=["mirrored", "upside down"])
def test_mirrored_frames_have_the_mirrored_flow(profile, shape, axis):
    """Forward and backward differences change places, so it holds up to what they differ by."""
    gray = as_gray(texture(*shape, seed=3), moved(texture(*shape, seed=3), 1, 1.01, 1.2, -0.4)[0])
    algorithm = TVL1(profile=profile)
    expected = np.flip(algorithm(gray).data, axis + 1).copy()
    expected[:, 2 - axis] *= -1
    mirrored = algorithm(np.ascontiguousarray(np.flip(gray, axis))).data
    assert np.hypot(*(mirrored - expected)[0][:, 8:-8, 8:-8]).mean() < 0.03


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "fast"},
        {"profile": "accurate", "warps": 2, "inner_iterations": 8},
        {"profile": "opencv", "warps": 2, "outer_iterations": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(40, 56), (61, 35)], ids=str)
def test_frames_with_x_and_y_exchanged_have_the_exchanged_flow(options, shape):
    gray = as_gray(texture(*shape, seed=3), moved(texture(*shape, seed=3), 1, 1.01, 1.2, -0.4)[0])
    algorithm = TVL1(**options)
    expected = algorithm(gray).data[0][::-1].transpose(0, 2, 1)
    exchanged = algorithm(np.ascontiguousarray(gray.transpose(0, 2, 1))).data[0]
    # The same sums, added up in another order.
    difference = np.hypot(*(exchanged - expected))
    assert np.quantile(difference, 0.95) < 2e-3
    assert difference.mean() < 1e-3


@every_profile
@pytest.mark.parametrize("shape", [(50, 70), (15, 40), (1, 30), (30, 1), (1, 1)], ids=str)
def test_what_does_not_move_has_no_flow(profile, shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    if min(shape) == 1 and profile == "opencv":
        image[:] = 7
    flow = TVL1(profile=profile)(np.stack([image, image])).data
    np.testing.assert_array_equal(flow, np.zeros((1, 2, *shape)))


@every_profile
@pytest.mark.parametrize("shape", made.ODD_SIZES, ids=str)
def test_every_size_and_content_gives_finite_flow_of_bounded_length(profile, shape):
    for kind in made.HARD_CASES:
        flow = TVL1(profile=profile)(made.hard_case(kind, *shape)).data
        assert flow.shape == (1, 2, *shape), kind
        assert np.isfinite(flow).all(), kind
        assert np.abs(flow).max() < 3 * max(shape) + 50, kind


@pytest.mark.slow
@every_profile
def test_full_hd(profile):
    image = texture(1080, 1920, seed=1)
    second, expected = moved(image, 0, 1, 2.5, -1.25)
    flow = TVL1(profile=profile)(as_gray(image, second)).data[0]
    assert np.isfinite(flow).all()
    assert np.hypot(*(flow - expected))[20:-20, 20:-20].mean() < 0.1
