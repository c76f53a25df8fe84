import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flowcache.errors import UserError
from flowcache.quantize import Quantizer
from flowcache.types import FlowStack

USUAL = Quantizer(bound=20.0, step=20 / 127)


def stack(values):
    """Any numbers as a stack of one field, one row high."""
    values = np.atleast_1d(np.asarray(values, np.float32))
    data = np.zeros((1, 2, 1, len(values)), np.float32)
    data[0, 0, 0] = values
    return FlowStack(data)


def quantizers():
    bounds = st.floats(0.5, 64, allow_nan=False)
    return st.builds(
        lambda bound, levels: Quantizer(bound=bound, step=bound / levels),
        bounds,
        st.integers(1, 32767),
    )


@given(quantizers())
def test_zero_displacement_is_code_zero_and_comes_back_as_zero(quantizer):
    codes, saturated = quantizer.encode(stack([0.0, -0.0]))
    assert not codes.any()
    assert saturated == 0
    assert not quantizer.decode(codes).data.any()


@given(quantizers(), hnp.arrays(np.float64, 40, elements=st.floats(-1, 1)))
def test_no_error_inside_the_bound_exceeds_half_a_step(quantizer, shares):
    px = (shares * quantizer.levels * quantizer.step).astype(np.float32)
    codes, saturated = quantizer.encode(stack(px))
    error = np.abs(quantizer.decode(codes).data[0, 0, 0].astype(float) - px.astype(float))
    # What single precision itself loses on numbers of this size comes on top.
    slack = 4 * np.spacing(np.float32(quantizer.bound))
    assert error.max() <= quantizer.step / 2 + slack
    assert saturated == 0


@pytest.mark.parametrize("quantizer", [USUAL, Quantizer(bound=20, step=0.25)])
def test_the_largest_error_is_half_a_step_and_is_reached(quantizer):
    px = np.linspace(-quantizer.levels, quantizer.levels, 200_001) * quantizer.step
    codes, _ = quantizer.encode(stack(px))
    error = np.abs(quantizer.decode(codes).data[0, 0, 0] - px).max()
    assert error == pytest.approx(quantizer.step / 2, rel=1e-2)


def test_codes_are_what_rounding_to_the_nearest_multiple_gives():
    px = np.random.default_rng(0).normal(0, 8, 5000).astype(np.float32)
    codes, saturated = USUAL.encode(stack(px))
    expected = [max(-127, min(127, math.floor(v * 127 / 20 + 0.5))) for v in px.tolist()]
    assert codes[0, 0, 0].tolist() == expected
    assert saturated == sum(abs(math.floor(v * 127 / 20 + 0.5)) > 127 for v in px.tolist())


@given(hnp.arrays(np.float32, 30, elements=st.floats(-1e6, 1e6, width=32)))
def test_what_saturates_is_counted_and_clipped_to_the_bound(px):
    codes, saturated = USUAL.encode(stack(px))
    half = USUAL.step / 2
    beyond = np.abs(px.astype(float)) > 20 + half * 1.00001
    surely_within = np.abs(px.astype(float)) < 20 + half * 0.99999
    assert beyond.sum() <= saturated <= (~surely_within).sum()
    decoded = USUAL.decode(codes).data[0, 0, 0]
    np.testing.assert_allclose(decoded[beyond], np.sign(px[beyond]) * 20, rtol=1e-6)


@pytest.mark.parametrize("levels", [127, 128, 32767])
def test_the_most_negative_code_is_never_used(levels):
    quantizer = Quantizer(bound=20, step=20 / levels)
    for value in (1e30, np.inf, -np.inf, -1e30, 21, -21):
        codes, saturated = quantizer.encode(stack([value, 0]))
        assert saturated == 1
        assert codes[0, 0, 0].tolist() == [int(math.copysign(levels, value)), 0]
        assert codes.min() > np.iinfo(codes.dtype).min


@pytest.mark.parametrize(
    ("levels", "dtype"), [(1, "int8"), (127, "int8"), (128, "int16"), (32767, "int16")]
)
def test_codes_are_as_narrow_as_they_can_be(levels, dtype):
    for bound in (1.0, 7.3, 20.0, 64.0):
        quantizer = Quantizer(bound=bound, step=bound / levels)
        assert quantizer.levels == levels
        assert quantizer.dtype == dtype
        assert quantizer.encode(stack([bound, -bound]))[0].dtype == dtype


@pytest.mark.parametrize(("place", "others"), [(0, 0.0), (3, 1e9), (7, 1e9)])
def test_what_is_not_a_number_is_refused(place, others):
    px = np.full(8, others, np.float32)
    px[place] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        USUAL.encode(stack(px))


def test_the_flow_that_is_encoded_is_left_as_it_was():
    flow = stack([1.0, 50.0, -3.3])
    before = flow.data.copy()
    USUAL.encode(flow)
    np.testing.assert_array_equal(flow.data, before)


@given(hnp.arrays(np.int8, 20, elements=st.integers(-127, 127)))
def test_encoding_what_was_decoded_gives_the_same_codes(codes):
    codes = codes.reshape(1, 2, 1, 10)
    again, saturated = USUAL.encode(USUAL.decode(codes))
    np.testing.assert_array_equal(again, codes)
    assert saturated == 0


@pytest.mark.parametrize(
    ("bound", "step"),
    [(20, 0), (20, -1), (1, 2), (0, 0.1), (-5, 0.1), (float("nan"), 1), (20, float("nan"))],
)
def test_a_quantiser_without_codes_is_refused(bound, step):
    with pytest.raises(UserError, match="leave no code") as caught:
        Quantizer(bound=bound, step=step)
    assert caught.value.parameter == "quantizer_step"


@pytest.mark.parametrize(("bound", "step"), [(32768, 1), (20, 1e-6)])
def test_more_codes_than_sixteen_bits_are_refused(bound, step):
    with pytest.raises(UserError, match="more codes than 16 bits"):
        Quantizer(bound=bound, step=step)


def test_no_fields_encode_to_no_codes():
    codes, saturated = USUAL.encode(FlowStack(np.empty((0, 2, 4, 5), np.float32)))
    assert codes.shape == (0, 2, 4, 5)
    assert saturated == 0
