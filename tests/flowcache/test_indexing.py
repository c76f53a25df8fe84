import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcache.indexing import is_single, numbers

counts = st.integers(0, 12)
bounds = st.none() | st.integers(-15, 15)
slices = st.builds(slice, bounds, bounds, st.none() | st.integers(-4, 4).filter(bool))
several = st.lists(st.integers(-14, 14), max_size=5)


@given(counts, slices)
def test_a_slice_selects_what_it_selects_from_a_list(count, key):
    assert numbers(key, count, "frame") == list(range(count))[key]


@given(counts, several)
def test_each_number_selects_what_it_selects_from_a_list(count, key):
    everything = list(range(count))
    try:
        expected = [everything[number] for number in key]
    except IndexError:
        for same in (key, tuple(key), np.array(key)):
            with pytest.raises(IndexError):
                numbers(same, count, "frame")
        return
    for same in (key, tuple(key), np.array(key, int), np.array(key, np.int16), iter(key)):
        assert numbers(same, count, "frame") == expected


def test_one_number_may_be_of_any_kind_of_integer():
    for three in (3, np.int64(3), np.uint8(3), np.array(3), -7):
        assert is_single(three)
        assert numbers(three, 10, "frame") == [3]


def test_what_selects_several_is_not_one_number():
    for key in (slice(3), [3], (3,), np.array([3]), range(3, 4), iter([3])):
        assert not is_single(key)


def test_a_number_that_does_not_exist_is_named_with_what_is_counted():
    with pytest.raises(IndexError, match="there is no field 9: they are numbered from 0 to 7"):
        numbers([0, 9], 8, "field")
    with pytest.raises(IndexError, match="there is no frame -9: "):
        numbers(-9, 8, "frame")


def test_what_is_no_integer_is_a_type_error():
    for key in ("3", None, 3.0, [3.0], ["3"], np.array([0.5]), [[3]]):
        with pytest.raises(TypeError):
            numbers(key, 8, "frame")
