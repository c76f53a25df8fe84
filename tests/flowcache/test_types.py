import numpy as np
import pytest

from flowcache.errors import UserError
from flowcache.types import FlowStack, Frames, pairwise_flow, require_gray


def test_frames_know_their_number_and_give_each_in_order():
    rgb = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 3), np.uint8)
    frames = Frames(rgb, np.array([0.5, 0.6, 0.7, 1.25]))
    assert len(frames) == 4
    np.testing.assert_array_equal(np.stack(list(frames)), rgb)
    assert repr(frames) == "Frames((4, 3, 5, 3), 0.500–1.250 s)"
    assert repr(Frames(rgb[:0], np.zeros(0))) == "Frames((0, 3, 5, 3))"


def test_frames_of_another_type_or_shape_are_refused_with_what_was_given():
    times = np.zeros(4)
    for rgb in (
        np.zeros((4, 3, 5, 3)),
        np.zeros((4, 3, 5), np.uint8),
        np.zeros((4, 3, 5, 4), np.uint8),
        np.zeros((3, 5, 3), np.uint8),
    ):
        with pytest.raises(ValueError, match=r"frames must be uint8 \(T, H, W, 3\), not .*\("):
            Frames(rgb, times)
    for times in (np.zeros(3), np.zeros((4, 1)), np.float64(0)):
        with pytest.raises(ValueError, match="4 frames need as many time stamps"):
            Frames(np.zeros((4, 3, 5, 3), np.uint8), times)


def test_a_stack_of_flow_gives_one_field_and_folds_without_a_copy():
    data = np.arange(2 * 2 * 3 * 4, dtype=np.float32).reshape(2, 2, 3, 4)
    stack = FlowStack(data)
    assert len(stack) == 2
    np.testing.assert_array_equal(stack[1], data[1])
    np.testing.assert_array_equal(stack[-1], data[1])
    np.testing.assert_array_equal(stack.folded(), [*data[0], *data[1]])  # x1 y1 x2 y2
    assert np.shares_memory(stack.folded(), data)
    assert repr(stack) == "FlowStack((2, 2, 3, 4))"
    with pytest.raises(IndexError):
        stack[2]


def test_flow_of_another_type_or_shape_is_refused_with_what_was_given():
    for data in (
        np.zeros((2, 2, 3, 4)),
        np.zeros((2, 3, 4), np.float32),
        np.zeros((2, 3, 4, 2), np.float32),
    ):
        with pytest.raises(ValueError, match=r"flow must be float32 \(T, 2, H, W\), not .*\("):
            FlowStack(data)


def test_gray_frames_of_another_type_or_shape_are_refused():
    require_gray(np.zeros((0, 3, 4), np.uint8))
    for gray in (np.zeros((2, 3, 4)), np.zeros((3, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"gray frames must be uint8 \(T, H, W\)"):
            require_gray(gray)


def test_a_method_for_two_frames_is_run_over_all_neighbours():
    gray = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((1, 3, 5), np.uint8)

    def which(first, second):
        return np.stack([first, second], axis=2).astype(np.float32)

    stack = pairwise_flow(gray, which)
    assert stack.data[:, :, 2, 4].tolist() == [[0, 1], [1, 2], [2, 3]]
    for few in (0, 1):
        assert pairwise_flow(gray[:few], which).data.shape == (0, 2, 3, 5)


def test_an_error_for_the_user_says_which_parameter_is_at_fault():
    assert str(UserError("do this", "size")) == "do this"
    assert UserError("do this", "size").parameter == "size"
    assert UserError("do this").parameter is None
