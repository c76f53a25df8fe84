"""The comparisons that find a median, for every order of the values."""

import itertools

import numpy as np
import pytest

from flowcache.algorithms.tvl1.median_network import median_network


def test_the_median_of_nine_is_found_for_every_order_of_them():
    # A network of minima and maxima that is right for all zeros and ones is right for all numbers
    # (Knuth, "The Art of Computer Programming", volume 3, 5.3.4).
    network, middle = median_network(3)
    for bits in itertools.product((0, 1), repeat=9):
        values = list(bits)
        for i, j in network:
            values[i], values[j] = min(values[i], values[j]), max(values[i], values[j])
        assert values[middle] == sorted(bits)[4], bits


def test_the_median_of_twenty_five_is_found_for_every_order_of_them():
    # The same, for all 2²⁵ cases: the low twenty bits together, the high five one after the other.
    network, middle = median_network(5)
    low = np.arange(2**20)
    counted = np.bitwise_count(low)
    low_bits = [(low >> i & 1).astype(bool) for i in range(20)]
    for high in range(2**5):
        values = low_bits + [np.full(2**20, bool(high >> i & 1)) for i in range(5)]
        for i, j in network:
            values[i], values[j] = values[i] & values[j], values[i] | values[j]
        np.testing.assert_array_equal(values[middle], counted + high.bit_count() >= 13)


@pytest.mark.parametrize("side", [3, 5])
def test_a_median_network_finds_numpys_median_among_floats_with_ties(side):
    values = np.random.default_rng(0).integers(-9, 10, (side**2, 5000)) / 4
    expected = np.median(values, axis=0)
    network, middle = median_network(side)
    for i, j in network:
        values[i], values[j] = np.minimum(values[i], values[j]), np.maximum(values[i], values[j])
    np.testing.assert_array_equal(values[middle], expected)


@pytest.mark.parametrize("side", [3, 5])
def test_each_comparison_of_a_median_network_names_the_place_of_the_smaller_value_first(side):
    # The kernels put a pair back into a tuple, in this order.
    network, middle = median_network(side)
    assert all(0 <= i < j < side**2 for i, j in network)
    assert 0 <= middle < side**2
