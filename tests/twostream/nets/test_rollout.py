"""Against products of whole matrices, as the paper has them."""

import math

import pytest
import torch
from made_networks import build, drawn, stirred

from twostream.nets.rollout import RecordedAttention, from_first, spread

SMALL = {"width": 12, "depth": 3, "heads": 3, "patch": 8}
CLIP = (1, 4, 3, 16, 24)
PLACES, TIMES, FRAMES = 6, 2, 4


def recorded(name, **options):
    """A network, and the weights of its attention when it answers a clip."""
    network = stirred(build(name, length=4, **options))
    with torch.no_grad(), RecordedAttention() as attention:
        network(drawn(*CLIP))
    return network, attention.weights


def rolled(network, weights):
    found = network.rollout(weights, torch.Size(CLIP))
    assert (found >= 0).all()
    return found


def with_identity(weights):
    """A = 0.5 W + 0.5 I (section 3)."""
    return 0.5 * weights + 0.5 * torch.eye(weights.shape[-1])


def product(matrices):
    """Of the last layer times … times the first."""
    whole = torch.eye(matrices[0].shape[-1])
    for matrix in matrices:
        whole = matrix @ whole
    return whole


def test_the_weights_are_those_that_the_layers_compute():
    network = stirred(build("vivit", length=4, encoder="joint", **SMALL, size=16))
    caught = []
    for block in network.blocks:
        block.attn.qkv.register_forward_hook(lambda *parts: caught.append(parts[2]))
    with torch.no_grad(), RecordedAttention() as attention:
        logits = network(drawn(*CLIP))
    with torch.no_grad():
        assert torch.equal(logits, network(drawn(*CLIP)))  # which recording does not change
    assert len(caught) == 2 * SMALL["depth"]
    for qkv, found in zip(caught, attention.weights, strict=False):
        tokens, heads = qkv.shape[1], SMALL["heads"]
        query, key, _ = qkv.view(1, tokens, 3, heads, -1).unbind(2)
        scores = torch.einsum("bnhd,bmhd->bhnm", query, key) / math.sqrt(query.shape[-1])
        expected = (scores.exp() / scores.exp().sum(-1, keepdim=True)).mean(1)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(found.sum(-1), torch.ones(1, tokens))


def test_recording_ends_with_its_context():
    network, weights = recorded("vivit", **SMALL, size=16)
    count = len(weights)
    with torch.no_grad():
        network(drawn(*CLIP))
    assert len(weights) == count


def test_videomae_is_a_product_of_matrices_read_by_the_mean():
    network, weights = recorded("videomae", **SMALL)
    whole = product([with_identity(w[0]) for w in weights])
    found = rolled(network, weights)
    torch.testing.assert_close(found, whole.mean(0).view(TIMES, 2, 3))
    assert found.sum() == pytest.approx(1, abs=1e-5)


def test_joint_vivit_is_a_product_of_matrices_read_by_the_class_token():
    network, weights = recorded("vivit", encoder="joint", **SMALL, size=16)
    whole = product([with_identity(w[0]) for w in weights])
    torch.testing.assert_close(rolled(network, weights), whole[0, 1:].view(TIMES, 2, 3))


def test_factorised_vivit_is_a_product_over_space_and_one_over_time():
    network, weights = recorded("vivit", temporal_depth=2, **SMALL, size=16)
    in_space, in_time = weights[: SMALL["depth"]], weights[SMALL["depth"] :]
    over_time = product([with_identity(w[0]) for w in in_time])[0, 1:]
    found = rolled(network, weights)
    for time in range(TIMES):
        over_space = product([with_identity(w[time]) for w in in_space])[0, 1:]
        torch.testing.assert_close(found[time], over_time[time] * over_space.view(2, 3))


def test_timesformer_is_a_product_of_matrices_over_all_tokens():
    network, weights = recorded("timesformer", **SMALL, size=16)
    tokens = 1 + FRAMES * PLACES

    def number(frame, place):
        return 1 + frame * PLACES + place

    layers = []
    for of_place, of_frame in zip(weights[0::2], weights[1::2], strict=True):
        time = torch.zeros(tokens, tokens)
        time[0, 0] = 1  # the class token takes no part
        space = torch.zeros(tokens, tokens)
        for frame in range(FRAMES):
            for place in range(PLACES):
                row = number(frame, place)
                for other in range(FRAMES):
                    time[row, number(other, place)] = of_place[place, frame, other]
                space[row, 0] = of_frame[frame, 1 + place, 0]
                for other in range(PLACES):
                    space[row, number(frame, other)] = of_frame[frame, 1 + place, 1 + other]
                # What the class token finds in each frame is averaged.
                space[0, row] = of_frame[frame, 0, 1 + place] / FRAMES
            space[0, 0] += of_frame[frame, 0, 0] / FRAMES
        layers += [with_identity(time), with_identity(space)]
    expected = product(layers)[0, 1:].view(FRAMES, 2, 3)
    torch.testing.assert_close(rolled(network, weights), expected)


def cells(shape):
    return [(t, y, x) for t in range(shape[0]) for y in range(shape[1]) for x in range(shape[2])]


def pooling(grid, stride):
    """The class token stays, and a pooled token is the mean of those that it was pooled from."""
    pooled = [math.ceil(n / s) for n, s in zip(grid, stride, strict=True)]
    matrix = torch.zeros(1 + math.prod(pooled), 1 + math.prod(grid))
    matrix[0, 0] = 1
    for row, cell in enumerate(cells(pooled)):
        for column, fine in enumerate(cells(grid)):
            if all(f // s == c for f, s, c in zip(fine, stride, cell, strict=True)):
                matrix[1 + row, 1 + column] = 1
    return matrix / matrix.sum(1, keepdim=True), pooled


def test_mvit_is_a_product_of_matrices_that_also_pool():
    network, weights = recorded("mvit", width=8, depth="8")
    grid = (2, 4, 6)
    whole = torch.eye(1 + math.prod(grid))
    first = grid
    for block, attention in zip(network.blocks, weights, strict=True):
        queries, left = pooling(grid, block.attn.query_stride)
        keys, _ = pooling(grid, block.attn.key_stride)
        whole = (0.5 * queries + 0.5 * attention[0] @ keys) @ whole
        grid = left
    expected = whole[0, 1:].view(first)
    torch.testing.assert_close(rolled(network, weights), expected)


def test_what_is_spread_is_neither_lost_nor_gained():
    share = drawn(2, 2 * 1 * 3).abs()
    found = spread(share, (3, 1, 7), (2, 1, 3))
    assert found.shape == (2, 3 * 1 * 7)
    torch.testing.assert_close(found.sum(1), share.sum(1))


def test_attention_that_looks_at_one_token_leads_to_it():
    weights = torch.zeros(2, 1, 5, 5)
    weights[..., 3] = 1
    share = from_first(list(weights))
    torch.testing.assert_close(share, torch.tensor([[0.25, 0, 0, 0.75, 0]]))
