import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from twostream.data.clip_spec import ClipSpec
from twostream.data.crop_and_flip import View, apply_view, fixed_views
from twostream.data.streams import SPATIAL
from twostream.explanation.maps import enlarge, normalise, on_picture


@given(
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    larger=st.tuples(*[st.integers(1, 12)] * 3),
    seed=st.integers(0, 99),
)
def test_what_is_enlarged_stays_within_its_values_and_a_constant_stays_one(shape, larger, seed):
    coarse = np.random.default_rng(seed).random(shape).astype(np.float32)
    found = enlarge(coarse, larger)
    assert found.shape == larger
    assert found.dtype == np.float32
    assert found.min() >= coarse.min() - 1e-6
    assert found.max() <= coarse.max() + 1e-6
    assert np.allclose(enlarge(np.full_like(coarse, 0.3), larger), 0.3)


def test_it_is_interpolated_linearly_between_the_middles_of_cells():
    coarse = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    factors = (4, 3, 2)
    expected = ndimage.zoom(coarse, factors, order=1, mode="nearest", grid_mode=True)
    larger = tuple(n * f for n, f in zip(coarse.shape, factors, strict=True))
    assert np.allclose(enlarge(coarse, larger), expected, atol=1e-5)


def test_the_least_becomes_0_and_the_most_1_and_what_is_flat_0():
    assert normalise(np.array([[[2.0, 3, 6]]], np.float32)).tolist() == [[[0, 0.25, 1]]]
    assert normalise(np.array([[[-5.0, 0, 3, 6]]], np.float32)).tolist() == [[[0, 0, 0.5, 1]]]
    assert not normalise(np.full((1, 2, 3), 7.1, np.float32)).any()
    assert not normalise(np.zeros((1, 2, 3), np.float32)).any()


@pytest.mark.parametrize("crops", [1, 3, 10])
@pytest.mark.parametrize("size", [(40, 60), (60, 40)])
def test_a_map_lies_where_the_network_saw_what_it_marks(size, crops):
    """The brightest place of a picture is cut out and put back."""
    spec = ClipSpec(length=1, stride=1, crop=16, resize=20)
    for view in fixed_views(*size, spec, crops):
        y, x = view.top + view.height // 4, view.left + view.width // 3
        picture = np.zeros((1, 3, *size), np.uint8)
        picture[..., y - 1 : y + 2, x - 1 : x + 2] = 200
        seen, _ = apply_view(picture, view, spec.crop, SPATIAL)
        back = on_picture(seen[:, 0].astype(np.float32), view, *size)
        assert back.shape == (1, *size)
        found = np.unravel_index(back[0].argmax(), size)
        assert abs(found[0] - y) <= 2
        assert abs(found[1] - x) <= 2


def test_outside_of_what_was_seen_a_map_is_0():
    whole = on_picture(np.ones((2, 4, 4), np.float32), View(2, 3, 5, 6), 10, 12)
    assert whole.sum() == 2 * 5 * 6
    assert whole[:, 2:7, 3:9].all()
