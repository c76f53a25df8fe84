import functools
import math

import pytest
import torch
from made_networks import drawn
from torch import nn
from torch.nn import functional

from twostream.nets.attention import (
    Attention,
    Block,
    DropPath,
    TubeletEmbed,
    check_encoder,
    encoder_layers,
    own_names,
    require_whole,
    resample,
    resample_square,
    resample_times,
    resample_tokens,
    rising,
    tokens_of,
    with_class_token,
)
from twostream.nets.layers import ClipSizeError


@torch.no_grad()
def stirred(module):
    """All weights drawn, so that no zero and no norm of one hides a mistake."""
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return module.eval()


# The encoder


def test_attention_is_a_weighted_mean_of_values_in_each_head():
    attention, x = stirred(Attention(6, 2)), drawn(2, 5, 6)
    with torch.no_grad():
        expected = torch.zeros(2, 5, 6)
        for clip in range(2):
            qkv = attention.qkv(x[clip])
            for head in range(2):
                q, k, v = (
                    qkv[:, 6 * part + 3 * head : 6 * part + 3 * head + 3] for part in range(3)
                )
                for token in range(5):
                    scores = [math.exp(float(q[token] @ k[other]) / 3**0.5) for other in range(5)]
                    found = sum(s * v[other] for other, s in enumerate(scores)) / sum(scores)
                    expected[clip, token, 3 * head : 3 * head + 3] = found
        torch.testing.assert_close(attention(x), attention.proj(expected), rtol=1e-4, atol=1e-5)


def test_a_layer_is_timms_on_the_same_weights(timm):
    theirs = stirred(
        timm.models.vision_transformer.Block(
            24, 3, qkv_bias=True, norm_layer=functools.partial(nn.LayerNorm, eps=1e-6)
        )
    )
    ours = Block(24, Attention(24, 3), drop_path=0.5).eval()
    ours.load_state_dict(theirs.state_dict())
    x = drawn(2, 7, 24)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_later_layers_are_left_out_more_often():
    layers = encoder_layers(8, 5, 2, drop_path=0.2)
    assert [layer.drop_path.share for layer in layers] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert rising(0.3, 1) == [0]


def test_what_a_layer_adds_is_left_out_for_whole_clips_and_scaled_for_the_others():
    torch.manual_seed(0)
    x = torch.ones(4000, 3, 2)
    y = DropPath(0.25).train()(x)
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert torch.equal(y, y[:, :1, :1].expand_as(y))
    assert float(y.mean()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("layer", [DropPath(0.25).eval(), DropPath(0.0).train()])
def test_nothing_is_left_out_in_evaluation_or_at_a_share_of_zero(layer):
    x = drawn(4, 3)
    assert torch.equal(layer(x), x)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 5}, "heads=5 must divide width=24"),
        ({"heads": 0}, "heads=0 must be 1 or more"),
        ({"width": -24}, "width=-24 must be 1 or more"),
        ({"depth": 0}, "depth=0 must be 1 or more"),
        ({"patch": 0}, "patch=0 must be 1 or more"),
        ({"size": 100}, "size=100 must be a multiple of patch=16"),
        ({"size": 0}, "size=0 must be a multiple of patch=16"),
    ],
)
def test_sizes_that_make_no_encoder_are_refused(changes, message):
    sizes = {"width": 24, "heads": 3, "patch": 16, "size": 64, "depth": 2}
    check_encoder(**sizes)
    with pytest.raises(ValueError, match=message):
        check_encoder(**sizes | changes)


# Tokens


def test_a_tubelet_becomes_one_linear_map_of_its_pixels():
    embed = stirred(TubeletEmbed(2, 5, tubelet=2, patch=3))
    clip = drawn(1, 4, 2, 6, 9)
    with torch.no_grad():
        maps = embed(clip)
        assert maps.shape == (1, 5, 2, 2, 3)
        for t in range(2):
            for row in range(2):
                for column in range(3):
                    pixels = clip[0, 2 * t : 2 * t + 2, :, 3 * row : 3 * row + 3]
                    pixels = pixels[..., 3 * column : 3 * column + 3].transpose(0, 1)
                    expected = (embed.proj.weight * pixels).sum((1, 2, 3, 4)) + embed.proj.bias
                    torch.testing.assert_close(
                        maps[0, :, t, row, column], expected, rtol=1e-4, atol=1e-5
                    )


def test_clips_of_whole_tubelets_are_taken():
    require_whole(torch.empty(1, 6, 2, 32, 48), tubelet=3, patch=16)
    require_whole(torch.empty(1, 7, 2, 32, 48), patch=16)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (1, 6, 2, 33, 48),
            r"16×16 do not fill pictures of 48×33: give a crop .* multiple of 16",
        ),
        (
            (1, 6, 2, 32, 40),
            r"16×16 do not fill pictures of 40×32: give a crop .* multiple of 16",
        ),
        ((1, 7, 2, 32, 48), r"3 frames do not fill clips of 7: give a length .* multiple of 3"),
        ((1, 1, 2, 32, 48), r"3 frames do not fill clips of 1: give a length .* multiple of 3"),
    ],
)
def test_clips_that_are_cut_through_are_refused_with_the_limit(shape, message):
    with pytest.raises(ClipSizeError, match=message):
        require_whole(torch.empty(shape), tubelet=3, patch=16)


def test_tokens_come_time_after_time_and_row_by_row():
    maps = drawn(2, 5, 3, 2, 4)
    tokens = tokens_of(maps)
    assert tokens.shape == (2, 3, 8, 5)
    for time in range(3):
        for row in range(2):
            for column in range(4):
                assert torch.equal(tokens[:, time, 4 * row + column], maps[:, :, time, row, column])


def test_one_class_token_stands_before_the_tokens_of_every_row():
    token, tokens = drawn(1, 1, 5), drawn(3, 4, 5, seed=2)
    x = with_class_token(token, tokens)
    assert x.shape == (3, 5, 5)
    for row in range(3):
        assert torch.equal(x[row, 0], token[0, 0])
        assert torch.equal(x[row, 1:], tokens[row])


# Positions


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_positions_of_the_same_grid_are_not_touched(dtype):
    positions = drawn(3, 4, 5, 6).to(dtype)
    assert torch.equal(resample(positions, (3, 4, 5)), positions)
    table, times = drawn(1, 17, 6).to(dtype), drawn(1, 8, 6).to(dtype)
    assert torch.equal(resample_square(table, (4, 4)), table)
    assert torch.equal(resample_times(times, 8), times)


@pytest.mark.parametrize("grid", [(3, 4, 4), (5, 4, 5), (1, 9, 2), (8, 7, 7)])
def test_positions_that_are_the_same_everywhere_stay_so(grid):
    alike = torch.tensor([1.0, -2.0, 3.0]).expand(3, 4, 5, 3)
    resampled = resample(alike, grid)
    assert resampled.shape == (*grid, 3)
    torch.testing.assert_close(resampled, torch.tensor([1.0, -2.0, 3.0]).expand_as(resampled))


def test_positions_in_time_are_joined_by_straight_lines():
    times = torch.tensor([0.0, 4.0, 2.0])[None, :, None]
    # Middles of six shorter frames on the axis on which those of three long ones are 0, 1, 2.
    expected = torch.tensor([0.0, 1.0, 3.0, 3.5, 2.5, 2.0])
    torch.testing.assert_close(resample_times(times, 6)[0, :, 0], expected)


def test_each_axis_is_resampled_by_itself():
    across = torch.arange(6.0).expand(2, 4, 6)[..., None]
    wider = resample(across, (5, 8, 6))[..., 0]
    torch.testing.assert_close(wider, torch.arange(6.0).expand(5, 8, 6))


@pytest.mark.parametrize("grid", [(7, 7), (3, 9), (14, 2)])
def test_positions_in_space_are_resampled_as_timm_does(timm, grid):
    table = drawn(1, 1 + 36, 8)
    expected = timm.layers.resample_abs_pos_embed(table, list(grid), num_prefix_tokens=1)
    torch.testing.assert_close(resample_square(table, grid), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("class_token", [True, False])
def test_positions_of_no_square_are_left_alone(class_token):
    table = drawn(1, class_token + 12, 8)
    assert torch.equal(resample_square(table, (4, 4), class_token=class_token), table)


@pytest.mark.parametrize("class_token", [True, False])
def test_positions_of_tokens_are_resampled_in_space_and_time_but_for_the_class_tokens(class_token):
    learned, grid = (2, 3, 3), (4, 5, 6)
    table = drawn(1, class_token + 18, 7)
    resampled = resample_tokens(table, learned, grid, class_token=class_token)
    assert resampled.shape == (1, class_token + 4 * 5 * 6, 7)
    if class_token:
        assert torch.equal(resampled[:, 0], table[:, 0])
    # Each time by itself in space, then each place by itself along straight lines in time, by hand.
    in_space = [
        functional.interpolate(one.T.reshape(1, 7, 3, 3), (5, 6), mode="bicubic", antialias=True)
        for one in table[0, class_token:].split(9)
    ]
    for time, share in enumerate((0, 0.25, 0.75, 1)):
        expected = torch.lerp(*in_space, share)[0].flatten(1).T
        own = resampled[0, class_token:].split(30)[time]
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)


def test_squares_and_times_are_such_grids_with_and_without_a_class_token():
    square, times = drawn(1, 10, 7), drawn(1, 4, 7, seed=2)
    for class_token in (True, False):
        first = int(class_token)
        table = square[:, 1 - first :]
        assert torch.equal(
            resample_square(table, (4, 6), class_token=class_token)[:, first:],
            resample_square(square, (4, 6))[:, 1:],
        )
        assert torch.equal(
            resample_times(times[:, 1 - first :], 5, class_token=class_token)[:, first:],
            resample_times(times[:, 1:], 5),
        )
    assert torch.equal(resample_times(times, 5, class_token=True)[:, :1], times[:, :1])


# Published weights


def test_a_prefix_is_taken_off_and_the_last_layer_has_its_own_name():
    names = ("encoder.norm.weight", "encoder.head.weight", "head.bias", "blocks.0.head.weight")
    state = {name: torch.empty(0) for name in names}
    assert list(own_names(state, "encoder.")) == [
        "norm.weight",
        "fc.weight",
        "fc.bias",
        "blocks.0.head.weight",
    ]
