import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from twostream.data.colour import ColourJitter

CLIP = np.random.default_rng(0).integers(0, 256, (3, 3, 9, 7)).astype(np.uint8)
FACTOR = st.floats(0.5, 1.5)


def test_factors_of_one_change_nothing():
    np.testing.assert_array_equal(ColourJitter(brightness=1, contrast=1, saturation=1)(CLIP), CLIP)


def test_without_saturation_all_colours_are_gray():
    gray = ColourJitter(brightness=1, contrast=1, saturation=0)(CLIP)
    assert np.ptp(gray.astype(int), axis=1).max() == 0
    pure = np.zeros((1, 3, 1, 3), np.uint8)
    pure[0, :, 0] = 200 * np.eye(3)
    gray = ColourJitter(brightness=1, contrast=1, saturation=0)(pure)
    np.testing.assert_allclose(gray[0, 0, 0], [59.8, 117.4, 22.8], atol=0.5)  # BT.601


def test_without_contrast_all_is_the_mean_gray():
    flat = ColourJitter(brightness=1, contrast=0, saturation=1)(CLIP)
    assert np.ptp(flat.astype(int)) == 0


@given(FACTOR, FACTOR, FACTOR)
def test_a_still_clip_stays_still_and_within_the_limits(brightness, contrast, saturation):
    jitter = ColourJitter(brightness=brightness, contrast=contrast, saturation=saturation)
    still = np.repeat(CLIP[:1], 3, axis=0)
    changed = jitter(still)
    assert changed.dtype == np.uint8
    assert np.all(changed == changed[0])


@given(st.floats(0.01, 0.9), st.integers(0, 99))
def test_factors_lie_within_what_is_asked_for(most, seed):
    drawn = ColourJitter.drawn(most, np.random.default_rng(seed))
    for factor in (drawn.brightness, drawn.contrast, drawn.saturation):
        assert 1 - most <= factor <= 1 + most
