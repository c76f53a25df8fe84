import pytest
import torch
from made_networks import drawn, stirred
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from twostream.models import vivit
from twostream.nets.layers import ClipSizeError
from twostream.nets.pretrained import WeightsError, load_published

SMALL = {"size": 32, "patch": 8, "width": 24, "depth": 2, "temporal_depth": 2, "heads": 3}
EITHER = pytest.mark.parametrize("encoder", ["joint", "factorised"])


def build(encoder, channels=3, length=4, classes=5, seed=0, **options):
    torch.manual_seed(seed)
    return vivit.create(
        channels=channels, length=length, classes=classes, encoder=encoder, **SMALL | options
    ).eval()


# 88.9 M and 451.5 GMAC, 115.1 M and 284.4 in the paper's table 2.
@pytest.mark.parametrize(
    ("encoder", "parameters", "gmac"),
    [("joint", 88_954_000, 451.5), ("factorised", 115_062_928, 284.4)],
)
def test_size_and_cost_are_the_papers(encoder, parameters, gmac):
    with torch.device("meta"):
        model = vivit.create(channels=3, length=32, classes=400, encoder=encoder).eval()
        clip = torch.empty(1, 32, 3, 224, 224)
    assert sum(p.numel() for p in model.parameters()) == parameters
    with FlopCounterMode(display=False) as counter:
        model(clip)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, rel=0.01)


# Tokens


@torch.no_grad()
@pytest.mark.parametrize("tubelet", [1, 2, 4])
def test_a_token_is_a_linear_map_of_its_tubelet(tubelet):
    model, clip = build("joint", tubelet=tubelet), drawn(2, 4, 3, 16, 24)
    maps, conv = model.patch_embed(clip), model.patch_embed.proj
    assert maps.shape == (2, 24, 4 // tubelet, 2, 3)
    for t in range(4 // tubelet):
        for y in range(2):
            for x in range(3):
                frames = slice(t * tubelet, (t + 1) * tubelet)
                cut = clip[:, frames, :, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
                wanted = cut.transpose(1, 2).flatten(1) @ conv.weight.flatten(1).T + conv.bias
                torch.testing.assert_close(maps[:, :, t, y, x], wanted, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_spatial_encoder_sees_one_moment_at_a_time():
    model, clip = stirred(build("factorised")), drawn(2, 8, 3, 32, 32)
    moments = model.moments(clip)
    assert moments.shape == (2, 4, 24)
    for t in range(4):
        alone = model.moments(clip[:, 2 * t : 2 * t + 2])
        torch.testing.assert_close(moments[:, t : t + 1], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@EITHER
def test_the_order_of_moments_counts_by_their_positions_alone(encoder):
    model, clip = stirred(build(encoder, length=8)), drawn(2, 8, 3, 32, 32)
    backwards = torch.cat(clip.split(2, 1)[::-1], 1)
    assert (model(clip) - model(backwards)).abs().max() > 1e-3
    if encoder == "joint":
        in_time = torch.unflatten(model.pos_embed[:, 1:], 1, (4, 16))
        in_time.copy_(in_time[:, :1].expand_as(in_time).clone())
    else:
        model.time_embed[:, 1:] = model.time_embed[:, 1:2].clone()
    torch.testing.assert_close(model(clip), model(backwards), rtol=1e-4, atol=1e-4)


@torch.no_grad()
@EITHER
def test_places_in_the_picture_have_positions(encoder):
    model, clip = stirred(build(encoder)), drawn(1, 4, 3, 32, 32)
    mirrored = torch.cat(clip.split(8, 4)[::-1], 4)  # patches change places
    assert (model(clip) - model(mirrored)).abs().max() > 1e-3


# Sizes


@torch.no_grad()
def test_joint_positions_of_another_clip_are_interpolated_in_space_and_time():
    learnt, other = stirred(build("joint", length=4)), build("joint", length=8, size=48)
    clip = drawn(2, 8, 3, 48, 48)
    in_grid = torch.unflatten(learnt.pos_embed[0, 1:], 0, (2, 4, 4)).permute(3, 0, 1, 2)
    in_space = functional.interpolate(in_grid, (6, 6), mode="bicubic", antialias=True)
    in_time = functional.interpolate(in_space.flatten(2).transpose(1, 2), 4, mode="linear")
    wanted = in_time.permute(2, 1, 0).reshape(1, 4 * 36, 24)
    other.load_state_dict(
        learnt.state_dict() | {"pos_embed": torch.cat((learnt.pos_embed[:, :1], wanted), 1)}
    )
    torch.testing.assert_close(learnt(clip), other(clip), rtol=1e-4, atol=1e-4)


@EITHER
def test_a_clip_of_half_a_tubelet_is_refused(encoder):
    with pytest.raises(ClipSizeError, match=r"tubelets of 2 .* 5.*length"):
        build(encoder)(drawn(1, 5, 3, 32, 32))


@EITHER
def test_a_picture_that_patches_do_not_fill_is_refused(encoder):
    with pytest.raises(ClipSizeError, match=r"8×8.*44×32.*crop"):
        build(encoder)(drawn(1, 4, 3, 32, 44))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"heads": 5}, "heads=5"),
        ({"tubelet": 0}, "tubelet=0"),
        ({"temporal_depth": 0}, "temporal_depth=0"),
        ({"depth": -1}, "depth=-1"),
        ({"size": 4}, "size=4"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_options_out_of_range_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        build("joint", **options)


# Weights


@pytest.fixture
def vit(timm):
    torch.manual_seed(5)
    return stirred(
        timm.models.vision_transformer.VisionTransformer(
            img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=5
        )
    ).eval()


@torch.no_grad()
@pytest.mark.parametrize("tubelet", [1, 2, 3])
def test_with_a_vits_weights_one_joint_moment_is_the_vit_on_its_central_frame(tubelet, vit):
    model = build("joint", length=tubelet, tubelet=tubelet)
    load_published(model, vit.state_dict())
    clip = drawn(2, tubelet, 3, 32, 32)
    torch.testing.assert_close(model(clip), vit(clip[:, tubelet // 2]), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_vits_positions_are_the_same_at_all_times(vit):
    model = build("joint", length=8)
    load_published(model, vit.state_dict())
    assert torch.equal(model.pos_embed[:, :1], vit.pos_embed[:, :1])
    for at_one_time in model.pos_embed[:, 1:].split(16, 1):
        assert torch.equal(at_one_time, vit.pos_embed[:, 1:])


@torch.no_grad()
def test_with_a_vits_weights_each_moment_is_the_vits_view_of_its_central_frame(vit):
    model = build("factorised", length=6)
    notes = load_published(model, vit.state_dict())
    clip = drawn(2, 6, 3, 32, 32)
    moments = model.moments(clip)
    for t in range(3):
        wanted = vit.forward_features(clip[:, 2 * t + 1])[:, 0]
        torch.testing.assert_close(moments[:, t], wanted, rtol=1e-4, atol=1e-4)
    fresh = [n for n in model.state_dict() if n.startswith("time_")]
    assert f"{len(fresh)} tensors fresh, which such weights do not have" in notes[-1]
    assert {n.partition(".")[0] for n in fresh} == {
        "time_token",
        "time_embed",
        "time_blocks",
        "time_norm",
    }


@torch.no_grad()
@EITHER
def test_a_vits_positions_are_resampled_as_timm_does(encoder, vit, timm):
    model = build(encoder, length=2, size=48)
    load_published(model, vit.state_dict())
    wanted = timm.layers.resample_abs_pos_embed(vit.pos_embed, (6, 6))
    torch.testing.assert_close(model.pos_embed.data, wanted, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@EITHER
def test_a_vit_loads_for_flow_and_other_classes(encoder, vit):
    model = build(encoder, channels=2, classes=7)
    notes = load_published(model, vit.state_dict())
    assert any(note.startswith("patch_embed.proj: averaged") for note in notes)
    assert "fc.weight: fresh, 7 classes and not 5" in notes
    mean = vit.patch_embed.proj.weight.mean(1)
    for channel in range(2):
        torch.testing.assert_close(model.patch_embed.proj.weight[:, channel, 1], mean)
        assert not model.patch_embed.proj.weight[:, channel, 0].any()


@EITHER
def test_a_vit_without_classes_loads_but_none_that_lacks_a_layer(encoder, vit):
    state = vit.state_dict()
    del state["head.weight"], state["head.bias"]
    load_published(build(encoder), state)
    del state["blocks.1.mlp.fc1.weight"]
    with pytest.raises(WeightsError, match=r"blocks\.1\.mlp\.fc1\.weight"):
        load_published(build(encoder), state)


@torch.no_grad()
@EITHER
def test_tubelets_trained_elsewhere_keep_their_kernels_and_positions(encoder):
    # Nine moments of four patches: as many positions as a square of pictures' patches has.
    learnt = stirred(build(encoder, length=18, size=16))
    state = learnt.state_dict()
    state["head.weight"], state["head.bias"] = state.pop("fc.weight"), state.pop("fc.bias")
    other = build(encoder, length=18, size=16, seed=9)
    load_published(other, state)
    clip = drawn(1, 18, 3, 16, 16)
    assert torch.equal(other(clip), learnt(clip))
