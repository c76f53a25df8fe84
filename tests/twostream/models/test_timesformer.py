import pytest
import torch
from made_networks import drawn, stirred
from torch.utils.flop_counter import FlopCounterMode

from twostream.models import timesformer
from twostream.nets.layers import ClipSizeError
from twostream.nets.pretrained import WeightsError, load_published

SMALL = {"size": 32, "patch": 8, "width": 24, "depth": 3, "heads": 3}


def build(channels=3, length=4, classes=5, seed=0, **options):
    torch.manual_seed(seed)
    return timesformer.create(
        channels=channels, length=length, classes=classes, **SMALL | options
    ).eval()


def published(model):
    """The state as the authors' checkpoints have it."""
    renamed = {"fc.weight": "head.weight", "fc.bias": "head.bias"}
    return {f"model.{renamed.get(n, n)}": value for n, value in model.state_dict().items()}


def test_size_and_cost_are_the_papers():
    with torch.device("meta"):
        model = timesformer.create(channels=3, length=8, classes=400).eval()
        clip = torch.empty(1, 8, 3, 224, 224)
    assert sum(p.numel() for p in model.parameters()) == 121_566_352  # "121.4 M"
    with FlopCounterMode(display=False) as counter:
        model(clip)
    assert counter.get_total_flops() / 2e9 == pytest.approx(196, rel=0.01)


def test_names_and_shapes_are_those_of_the_authors_checkpoint():
    with torch.device("meta"):
        model = timesformer.create(channels=3, length=8, classes=400)
    width = 768
    linears = {
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "temporal_attn.qkv": (3 * width, width),
        "temporal_attn.proj": (width, width),
        "temporal_fc": (width, width),
        "mlp.fc1": (4 * width, width),
        "mlp.fc2": (width, 4 * width),
    }
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 197, width),
        "time_embed": (1, 8, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "head.weight": (400, width),
        "head.bias": (400,),
    }
    for i in range(12):
        for name, shape in linears.items():
            shapes[f"blocks.{i}.{name}.weight"] = shape
            shapes[f"blocks.{i}.{name}.bias"] = shape[:1]
        for name in ("norm1", "temporal_norm1", "norm2"):
            shapes[f"blocks.{i}.{name}.weight"] = shapes[f"blocks.{i}.{name}.bias"] = (width,)
    ours = {n.removeprefix("model."): tuple(v.shape) for n, v in published(model).items()}
    assert ours == shapes


# Attention


def slow_attention(tokens, attention):
    """Head by head and token by token: (N, D) → (N, D)."""
    count, width = tokens.shape
    side = width // attention.heads
    query, key, value = (tokens @ attention.qkv.weight.T + attention.qkv.bias).chunk(3, 1)
    out = torch.zeros(count, width)
    for head in range(attention.heads):
        own = slice(head * side, (head + 1) * side)
        for i in range(count):
            match = torch.stack([query[i, own] @ key[j, own] for j in range(count)]) / side**0.5
            share = match.exp() / match.exp().sum()
            out[i, own] = sum(share[j] * value[j, own] for j in range(count))
    return out @ attention.proj.weight.T + attention.proj.bias


def slow_block(block, token, patches):
    """Bertasius et al., section 3.3, with loops over places and frames: (D), (T, N, D) → both."""
    frames, places = patches.shape[:2]
    after_time = patches.clone()
    for place in range(places):
        seen = slow_attention(block.temporal_norm1(patches[:, place]), block.temporal_attn)
        after_time[:, place] += block.temporal_fc(seen)
    after_space, found_by_token = after_time.clone(), []
    for frame in range(frames):
        seen = torch.cat((token[None], after_time[frame]))
        seen = slow_attention(block.norm1(seen), block.attn)
        found_by_token.append(seen[0])
        after_space[frame] += seen[1:]
    token = token + sum(found_by_token) / frames
    return (
        token + block.mlp(block.norm2(token)),
        after_space + block.mlp(block.norm2(after_space)),
    )


@torch.no_grad()
@pytest.mark.parametrize(("frames", "places"), [(3, 4), (1, 5), (4, 1)])
def test_a_layer_is_attention_in_time_and_then_in_space(frames, places):
    block = stirred(build().blocks[0])
    x = drawn(2, 1 + frames * places, 24)
    fast = block(x, frames)
    for one, result in zip(x, fast, strict=True):
        token, patches = slow_block(block, one[0], one[1:].reshape(frames, places, -1))
        slow = torch.cat((token[None], patches.flatten(0, 1)))
        torch.testing.assert_close(result, slow, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_patch_does_not_see_other_places_of_other_frames_in_one_layer():
    frames, places = 3, 4
    block, x = stirred(build().blocks[0]), drawn(1, 1 + frames * places, 24)
    moved = x.clone()
    moved[0, 1 + 1 * places + 2] += drawn(24, seed=2)  # frame 1, place 2
    changed = (block(moved, frames) - block(x, frames)).abs().amax(-1)[0]
    reached = changed[1:].reshape(frames, places) > 1e-6
    # Its place in all frames by attention in time, and from there all of each frame.
    assert reached.all()
    block.temporal_fc.weight.zero_()
    changed = (block(moved, frames) - block(x, frames)).abs().amax(-1)[0]
    reached = changed[1:].reshape(frames, places) > 1e-6
    assert reached.tolist() == [[False] * 4, [True] * 4, [False] * 4]
    assert changed[0] > 1e-6  # the class token is in all frames


# Stochastic depth


def dropping(share, zero=()):
    """A layer in training that leaves out a share, all weights moved but those of the names in `zero`.

    The offset behind attention in time is zero as well.
    """
    torch.manual_seed(0)
    block = stirred(timesformer.DividedBlock(24, 3, share))
    for name in ("temporal_fc.bias", *zero):
        torch.nn.init.zeros_(block.get_parameter(name))
    return block.train()


@torch.no_grad()
def test_where_all_is_left_out_the_input_passes_on_and_in_evaluation_nothing_is():
    block, x = dropping(1 - 1e-6), drawn(2, 1 + 3 * 4, 24)
    torch.manual_seed(0)
    assert torch.equal(block(x, 3), x)
    whole = dropping(0.0)(x, 3)
    assert (whole - x).abs().amax(-1).min() > 0.1
    assert torch.equal(block.eval()(x, 3), whole)


# The last weights of the parts but one: where they are zero, that part alone adds anything.
OTHERS = {
    "temporal_fc": ("attn.proj.weight", "attn.proj.bias", "mlp.fc2.weight", "mlp.fc2.bias"),
    "attn": ("temporal_fc.weight", "mlp.fc2.weight", "mlp.fc2.bias"),
    "mlp": ("temporal_fc.weight", "attn.proj.weight", "attn.proj.bias"),
}


@torch.no_grad()
@pytest.mark.parametrize("part", OTHERS)
def test_each_part_is_left_out_for_whole_rows_and_scaled_up_for_the_others(part):
    """Rows are the places of a clip in time, its frames in space, and the clips themselves."""
    clips, frames, places = 30, 3, 4
    block, x = dropping(0.5, OTHERS[part]), drawn(clips, 1 + frames * places, 24)
    torch.manual_seed(0)
    added = block(x, frames) - x
    full = block.eval()(x, frames) - x
    assert added.abs().max() > 0.1

    def share(one, whole):
        """Whether a row was added twofold, or not at all: nothing between."""
        twofold = torch.allclose(one, 2 * whole, rtol=1e-3, atol=1e-4)
        assert twofold or torch.equal(one, torch.zeros_like(one))
        return twofold

    def grid(values):
        return values[:, 1:].unflatten(1, (frames, places))

    if part == "temporal_fc":
        # All frames of a place together; the class token takes no part.
        rows = [
            [share(grid(added)[b, :, n], grid(full)[b, :, n]) for n in range(places)]
            for b in range(clips)
        ]
        assert not added[:, 0].any()
    elif part == "attn":
        rows = [
            [share(grid(added)[b, t], grid(full)[b, t]) for t in range(frames)]
            for b in range(clips)
        ]
        # The class token has the mean of the frames that are left, scaled up.
        for b, kept in enumerate(rows):
            if not any(kept):
                assert not added[b, 0].any()
            elif all(kept):
                torch.testing.assert_close(added[b, 0], 2 * full[b, 0], rtol=1e-3, atol=1e-4)
    else:
        rows = [[share(added[b], full[b])] for b in range(clips)]
    outcomes = [kept for row in rows for kept in row]
    assert 0.25 < sum(outcomes) / len(outcomes) < 0.75
    if part != "mlp":  # drawn row by row within a clip
        assert any(len(set(row)) == 2 for row in rows)


@torch.no_grad()
def test_the_offset_behind_attention_in_time_passes_though_that_is_left_out():
    block, x = dropping(1 - 1e-6), drawn(1, 1 + 3 * 4, 24)
    block.temporal_fc.bias.copy_(drawn(24, seed=4))
    added = block(x, 3) - x
    expected = block.temporal_fc.bias.expand(12, 24)
    torch.testing.assert_close(added[0, 1:], expected, rtol=1e-4, atol=1e-5)
    assert not added[0, 0].any()


def test_layers_are_left_out_the_more_the_deeper_they_are_a_tenth_at_most():
    with torch.device("meta"):
        model = timesformer.create(channels=3, length=8, classes=400)
    shares = [block.drop_path.share for block in model.blocks]
    assert shares == pytest.approx([0.1 * layer / 11 for layer in range(12)])


@torch.no_grad()
def test_a_network_drops_in_training_alone():
    model, clip = stirred(build(drop_path=0.9)), drawn(2, 4, 3, 32, 32)
    torch.manual_seed(0)
    assert torch.equal(model(clip), model(clip))
    model.train()
    assert not torch.equal(model(clip), model(clip))


# Time


@torch.no_grad()
def test_a_fresh_network_ignores_the_order_of_frames_and_a_trained_one_does_not():
    clip = drawn(2, 4, 3, 32, 32)
    fresh, trained = build(), stirred(build())
    backwards = clip.flip(1)
    torch.testing.assert_close(fresh(clip), fresh(backwards), rtol=1e-4, atol=1e-5)
    assert (trained(clip) - trained(backwards)).abs().max() > 1e-3


@torch.no_grad()
def test_each_frame_has_its_own_position_in_time():
    model, clip = build(), drawn(1, 4, 3, 32, 32)
    model.time_embed.copy_(drawn(1, 4, 24))
    assert (model(clip) - model(clip.flip(1))).abs().max() > 1e-3


# Sizes


@torch.no_grad()
def test_positions_of_another_grid_are_the_same_whether_made_at_once_or_on_loading():
    learnt = stirred(build(length=4))
    other = build(length=8, size=48, seed=9)
    load_published(other, published(learnt))
    clip = drawn(2, 8, 3, 48, 48)
    assert other.pos_embed.shape == (1, 37, 24)
    assert other.time_embed.shape == (1, 8, 24)
    torch.testing.assert_close(other(clip), learnt(clip), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(32, 44), (44, 32)])
def test_a_picture_that_patches_do_not_fill_is_refused(height, width):
    with pytest.raises(ClipSizeError, match=rf"8×8.*{width}×{height}.*crop"):
        build()(drawn(1, 4, 3, height, width))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"heads": 5}, "heads=5"),
        ({"heads": 0}, "heads=0"),
        ({"width": 0}, "width=0"),
        ({"depth": 0}, "depth=0"),
        ({"size": 36}, "size=36"),
        ({"patch": 0}, "patch=0"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_options_out_of_range_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        build(**options)


# Weights


@pytest.fixture
def vit(timm):
    torch.manual_seed(5)
    return stirred(
        timm.models.vision_transformer.VisionTransformer(
            img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3, num_classes=5
        )
    ).eval()


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 4])
def test_with_a_vits_weights_a_still_clip_gets_the_vits_answer(frames, vit):
    model = build(length=4)
    notes = load_published(model, vit.state_dict())
    assert "fresh, which such weights do not have: blocks.0.temporal_fc.weight" in notes[-1]
    picture = drawn(2, 3, 32, 32)
    still = picture[:, None].repeat(1, frames, 1, 1, 1)
    torch.testing.assert_close(model(still), vit(picture), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_attention_in_time_starts_as_a_copy_of_a_vits_attention(vit):
    model, theirs = build(), vit.state_dict()
    load_published(model, theirs)
    state = model.state_dict()
    for i in range(3):
        for ours, name in (
            ("temporal_norm1.weight", "norm1.weight"),
            ("temporal_norm1.bias", "norm1.bias"),
            ("temporal_attn.qkv.weight", "attn.qkv.weight"),
            ("temporal_attn.qkv.bias", "attn.qkv.bias"),
            ("temporal_attn.proj.weight", "attn.proj.weight"),
        ):
            assert torch.equal(state[f"blocks.{i}.{ours}"], theirs[f"blocks.{i}.{name}"])
    assert not state["time_embed"].any()


@torch.no_grad()
@pytest.mark.parametrize("side", [16, 48])
def test_a_vits_positions_are_resampled_as_timm_does(side, vit, timm):
    model = build(size=side)
    load_published(model, vit.state_dict())
    wanted = timm.layers.resample_abs_pos_embed(vit.pos_embed, (side // 8, side // 8))
    torch.testing.assert_close(model.pos_embed.data, wanted, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_vit_for_flow_averages_its_patches_over_the_colours(vit):
    model = build(channels=2)
    notes = load_published(model, vit.state_dict())
    assert any(note.startswith("patch_embed.proj: averaged") for note in notes)
    mean = vit.patch_embed.proj.weight.mean(1)
    for channel in range(2):
        torch.testing.assert_close(model.patch_embed.proj.weight[:, channel], mean)


@torch.no_grad()
def test_the_authors_checkpoint_loads_whole_and_for_other_classes_but_its_head():
    learnt = stirred(build())
    same, other = build(seed=9), build(seed=9, classes=7)
    clip = drawn(2, 4, 3, 32, 32)
    assert load_published(same, published(learnt)) == [
        f"{len(learnt.state_dict())} tensors matched"
    ]
    assert torch.equal(same(clip), learnt(clip))
    notes = load_published(other, published(learnt))
    assert "fc.weight: fresh, 7 classes and not 5" in notes
    assert torch.equal(other.blocks[2].temporal_fc.weight, learnt.blocks[2].temporal_fc.weight)


@torch.no_grad()
def test_a_checkpoint_of_ours_serves_clips_of_another_length_and_size():
    learnt = stirred(build())
    other = build(seed=9, length=7, size=48)
    load_published(other, learnt.state_dict())
    assert torch.equal(other.blocks[2].temporal_fc.weight, learnt.blocks[2].temporal_fc.weight)
    clip = drawn(2, 7, 3, 48, 48)
    torch.testing.assert_close(other(clip), learnt(clip), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["model.blocks.1.attn.qkv.weight", "model.norm.bias"])
def test_a_checkpoint_that_lacks_a_part_is_refused(name):
    model, state = build(), published(build())
    del state[name]
    with pytest.raises(WeightsError, match=name.removeprefix("model.")):
        load_published(model, state)


def test_a_vit_of_another_depth_or_width_is_refused(timm):
    for options in ({"embed_dim": 24, "depth": 4}, {"embed_dim": 48, "depth": 3}):
        vit = timm.models.vision_transformer.VisionTransformer(
            img_size=32, patch_size=8, num_heads=3, **options
        )
        with pytest.raises(WeightsError, match="another architecture"):
            load_published(build(), vit.state_dict())
