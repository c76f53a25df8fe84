import math

import pytest
import torch
from made_networks import drawn, stirred
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from twostream.models import videomae
from twostream.nets.layers import ClipSizeError
from twostream.nets.pretrained import WeightsError, load_published

SMALL = {"tubelet": 2, "patch": 4, "width": 24, "depth": 2, "heads": 3}


def build(channels=3, length=4, classes=5, seed=0, **options):
    torch.manual_seed(seed)
    return videomae.create(
        channels=channels, length=length, classes=classes, **SMALL | options
    ).eval()


def layer_shapes(name, width):
    """One layer in the authors' checkpoints."""
    return {
        f"{name}.norm1.weight": (width,),
        f"{name}.norm1.bias": (width,),
        f"{name}.attn.q_bias": (width,),
        f"{name}.attn.v_bias": (width,),
        f"{name}.attn.qkv.weight": (3 * width, width),
        f"{name}.attn.proj.weight": (width, width),
        f"{name}.attn.proj.bias": (width,),
        f"{name}.norm2.weight": (width,),
        f"{name}.norm2.bias": (width,),
        f"{name}.mlp.fc1.weight": (4 * width, width),
        f"{name}.mlp.fc1.bias": (4 * width,),
        f"{name}.mlp.fc2.weight": (width, 4 * width),
        f"{name}.mlp.fc2.bias": (width,),
    }


def encoder_shapes(width=768, depth=12):
    shapes = {
        "patch_embed.proj.weight": (width, 3, 2, 16, 16),
        "patch_embed.proj.bias": (width,),
    }
    for layer in range(depth):
        shapes |= layer_shapes(f"blocks.{layer}", width)
    return shapes


def shapes_of(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def pretrained(model):
    """A `Pretrainer`'s state with every weight drawn."""
    return stirred(model.pretrainer()).state_dict()


# The classifier


def test_size_and_cost_are_the_published_ones():
    with torch.device("meta"):
        model = videomae.create(channels=3, length=16, classes=400).eval()
        clip = torch.empty(1, 16, 3, 224, 224)
    assert sum(p.numel() for p in model.parameters()) == 86_534_800
    with FlopCounterMode(display=False) as counter:
        model(clip)
    assert counter.get_total_flops() / 2e9 == pytest.approx(180, rel=0.01)


def test_names_and_shapes_are_those_of_the_authors_checkpoints():
    with torch.device("meta"):
        model = videomae.create(channels=3, length=16, classes=400)
    expected = encoder_shapes() | {
        "fc_norm.weight": (768,),
        "fc_norm.bias": (768,),
        "fc.weight": (400, 768),  # theirs is called head
        "fc.bias": (400,),
    }
    assert shapes_of(model) == expected


def test_positions_are_sines_and_cosines_of_ever_longer_waves():
    positions = videomae.sine_positions(9, torch.empty(2, 6))
    for place in range(9):
        for pair in range(3):
            angle = place / 10000 ** (2 * pair / 6)
            wave = [math.sin(angle), math.cos(angle)]
            assert positions[place, 2 * pair : 2 * pair + 2].tolist() == pytest.approx(wave)


def test_on_one_frame_it_is_a_vit_whose_keys_have_no_offset(timm):
    ours = stirred(build(tubelet=1, length=1))
    theirs = timm.models.VisionTransformer(
        img_size=(12, 20),
        patch_size=4,
        embed_dim=24,
        depth=2,
        num_heads=3,
        num_classes=5,
        class_token=False,
        global_pool="avg",
    ).eval()
    state = {}
    for name, value in ours.state_dict().items():
        if name.endswith("q_bias"):
            queries, values = value, ours.state_dict()[name.replace("q_bias", "v_bias")]
            bias = torch.cat((queries, torch.zeros(24), values))
            state[name.replace("q_bias", "qkv.bias")] = bias
        elif name == "patch_embed.proj.weight":
            state[name] = value[:, :, 0]
        elif not name.endswith("v_bias"):
            state[name.replace("fc.", "head.") if name.startswith("fc.") else name] = value
    state["pos_embed"] = videomae.sine_positions(15, torch.empty(24))[None]
    theirs.load_state_dict(state)
    clip = drawn(2, 1, 3, 12, 20)
    with torch.no_grad():
        torch.testing.assert_close(ours(clip), theirs(clip[:, 0]), rtol=1e-4, atol=1e-4)


def test_the_mean_over_all_tokens_is_classified():
    model, seen = stirred(build()), []
    model.blocks.register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        logits = model(drawn(2, 4, 3, 8, 12))
        assert seen[0].shape == (2, 2 * 2 * 3, 24)
        mean = seen[0].sum(1) / 12
        torch.testing.assert_close(logits, model.fc(model.fc_norm(mean)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "height", "width", "message"),
    [
        (4, 8, 10, r"4×4 do not fill pictures of 10×8"),
        (4, 9, 8, r"4×4 do not fill pictures of 8×9"),
        (5, 8, 8, r"tubelets of 2 frames do not fill clips of 5"),
        (1, 8, 8, r"tubelets of 2 frames do not fill clips of 1"),
    ],
)
def test_a_clip_that_tubelets_do_not_fill_is_refused(length, height, width, message):
    model, clip = build(), drawn(1, length, 3, height, width)
    for network in (model, model.pretrainer()):
        with pytest.raises(ClipSizeError, match=message):
            network(clip)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"heads": 5}, "heads=5 must divide width=24"),
        ({"tubelet": 0}, "tubelet=0"),
        ({"mask_ratio": 0.0}, r"mask_ratio=0.0 must be over 0"),
        ({"mask_ratio": 1.0}, r"mask_ratio=1.0 must be over 0 and under 1"),
        ({"mask_ratio": float("nan")}, "mask_ratio=nan"),
        ({"drop_path": -0.1}, "drop_path=-0.1"),
    ],
)
def test_options_out_of_range_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        build(**option)


# Masking


@pytest.mark.parametrize(
    ("size", "ratio", "masked"),
    [
        ((40, 40), 0.9, 90),
        ((56, 56), 0.9, 176),
        ((16, 16), 0.9, 14),
        ((16, 24), 0.5, 12),
        ((8, 4), 0.9, 1),
        ((8, 4), 0.1, 1),
    ],
)
def test_exactly_the_ratio_of_places_is_masked(size, ratio, masked):
    pretrainer = build(mask_ratio=ratio).pretrainer()
    order, visible = pretrainer.draw(torch.empty(3, 4, 3, *size))
    places = size[0] * size[1] // 16
    assert places - visible == masked
    assert all(sorted(one.tolist()) == list(range(places)) for one in order)


def test_the_standard_mask_is_the_papers():
    """Of 14 × 14 places 176 are masked, in each of 8 times."""
    with torch.device("meta"):
        pretrainer = videomae.create(channels=3, length=16, classes=1).pretrainer()
        order, visible = pretrainer.draw(torch.empty(2, 16, 3, 224, 224))
    assert (order.shape, visible) == ((2, 196), 20)


def test_each_clip_has_a_mask_of_its_own_from_the_global_generator():
    pretrainer, clip = build().pretrainer(), torch.empty(4, 4, 3, 32, 32)
    torch.manual_seed(3)
    first, second = pretrainer.draw(clip)[0], pretrainer.draw(clip)[0]
    torch.manual_seed(3)
    assert torch.equal(pretrainer.draw(clip)[0], first)
    assert not torch.equal(first, second)
    assert len({tuple(one.tolist()) for one in first}) == 4


def test_each_place_is_as_often_visible_as_another():
    torch.manual_seed(0)
    order, visible = build().pretrainer().draw(torch.empty(4000, 4, 3, 16, 16))
    counts = order[:, :visible].flatten().bincount(minlength=16)
    assert visible == 2
    assert (counts - 500).abs().max() < 100  # more than four standard deviations


def test_masking_needs_two_places():
    with pytest.raises(ClipSizeError, match=r"two patches of 4×4 or more and pictures of 4×4"):
        build().pretrainer()(torch.empty(1, 4, 3, 4, 4))


def masks(pretrainer, clip):
    """Whether each pixel lies behind the mask that the next call draws: (B, 1, 1, H, W)."""
    torch.manual_seed(11)
    order, visible = pretrainer.draw(clip)
    hidden = torch.ones(order.shape, dtype=torch.bool).scatter(1, order[:, :visible], False)
    height, width = (n // 4 for n in clip.shape[-2:])
    pixels = hidden.unflatten(1, (height, width)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    torch.manual_seed(11)
    return pixels[:, None, None]


def encoded(pretrainer, clip):
    """What the encoder puts out under the mask of `masks`."""
    found = []
    hook = pretrainer.encoder.register_forward_hook(lambda _, __, output: found.append(output))
    torch.manual_seed(11)
    with torch.no_grad():
        pretrainer(clip)
    hook.remove()
    return found[0]


@pytest.mark.parametrize("channels", [2, 3])
def test_masked_patches_never_reach_the_encoder(channels):
    pretrainer = stirred(build(channels, mask_ratio=0.75).pretrainer())
    clip = drawn(2, 6, channels, 16, 12)
    hidden = masks(pretrainer, clip)
    changed = torch.where(hidden, drawn(*clip.shape, seed=8), clip)
    tokens = encoded(pretrainer, clip)
    assert tokens.shape == (2, 3 * 3, 24)  # 3 of 12 places are visible, at each of 3 times
    assert torch.equal(tokens, encoded(pretrainer, changed))
    # At no time is any of the visible patches hidden.
    for time in range(6):
        shown = clip.clone()
        shown[:, time] = torch.where(hidden[:, 0], clip[:, time], clip[:, time] + 1)
        assert not torch.equal(tokens, encoded(pretrainer, shown))


def test_each_visible_pixel_reaches_the_encoder_and_no_other():
    pretrainer = stirred(build().pretrainer())
    clip = drawn(2, 4, 3, 16, 16).requires_grad_()
    hidden = masks(pretrainer, clip)
    order, visible = pretrainer.draw(clip)
    pretrainer.encoder(clip, order[:, :visible]).square().sum().backward()
    assert torch.equal(clip.grad != 0, ~hidden.expand_as(clip))


def test_with_nothing_masked_the_encoder_sees_what_the_classifier_sees():
    model, seen = stirred(build()), []
    pretrainer, clip = model.pretrainer(), drawn(2, 4, 3, 8, 12)
    model.blocks.register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        model(clip)
        tokens = pretrainer.encoder(clip, torch.arange(6).expand(2, -1))
        torch.testing.assert_close(tokens, pretrainer.encoder.norm(seen[0]), rtol=1e-4, atol=1e-4)


# Targets and loss


def slow_patches(clip, tubelet, patch):
    """The pixels of each tubelet, normalised channel by channel, one after another in plain loops."""
    batch, frames, channels, height, width = clip.shape
    times, rows, columns = frames // tubelet, height // patch, width // patch
    found = torch.empty(batch, times, rows * columns, tubelet * patch * patch * channels)
    for b in range(batch):
        for t in range(times):
            for place in range(rows * columns):
                row, column = divmod(place, columns)
                cube = clip[b, t * tubelet : (t + 1) * tubelet]
                cube = cube[:, :, row * patch : (row + 1) * patch]
                cube = cube[..., column * patch : (column + 1) * patch]
                flat = [cube[:, channel].flatten() for channel in range(channels)]
                flat = [(pixels - pixels.mean()) / (pixels.std() + 1e-6) for pixels in flat]
                found[b, t, place] = torch.stack(flat, 1).flatten()
    return found


@pytest.mark.parametrize("channels", [2, 3])
def test_targets_are_the_pixels_of_each_tubelet_normalised_by_channel(channels):
    clip = 5 * drawn(2, 4, channels, 8, 12) + 3
    patches = videomae.normalised_patches(clip, 2, 4)
    torch.testing.assert_close(patches, slow_patches(clip, 2, 4), rtol=1e-4, atol=1e-5)


def test_a_patch_of_one_colour_is_a_target_of_zeros():
    clip = torch.full((1, 2, 2, 4, 8), 0.5)
    assert torch.equal(videomae.normalised_patches(clip, 2, 4), torch.zeros(1, 1, 2, 64))


def test_the_loss_is_the_error_of_masked_patches_alone():
    pretrainer, clip = stirred(build(mask_ratio=0.75).pretrainer()), drawn(2, 4, 3, 8, 8)
    guesses = []
    pretrainer.decoder.register_forward_hook(lambda _, __, output: guesses.append(output))
    with torch.no_grad():
        torch.manual_seed(11)
        loss = pretrainer(clip)
    torch.manual_seed(11)
    order, visible = pretrainer.draw(clip)
    assert visible == 1
    targets, errors = slow_patches(clip, 2, 4), []
    for b in range(2):
        hidden = [(time, int(place)) for time in range(2) for place in order[b, visible:]]
        assert guesses[0].shape[1] == len(hidden) == 6
        for guess, (time, place) in zip(guesses[0][b], hidden, strict=True):
            errors += [(guess - targets[b, time, place]).square()]
    assert loss.ndim == 0
    torch.testing.assert_close(loss, torch.cat(errors).mean(), rtol=1e-4, atol=1e-5)


def test_visible_pixels_are_no_targets():
    """A guess that knows nothing of the clip is as far off whatever the visible patches show."""
    pretrainer, clip = build().pretrainer().eval(), drawn(2, 4, 3, 16, 16)
    nn.init.zeros_(pretrainer.decoder.head.weight)
    hidden = masks(pretrainer, clip)
    with torch.no_grad():
        loss = pretrainer(clip)
        torch.manual_seed(11)
        same = pretrainer(torch.where(hidden, clip, drawn(*clip.shape, seed=8)))
        torch.manual_seed(11)
        other = pretrainer(torch.where(hidden, drawn(*clip.shape, seed=8), torch.zeros(())))
    # All targets have the same variance, so they are told apart by a clip of one colour.
    assert torch.equal(loss, same)
    torch.manual_seed(11)
    with torch.no_grad():
        flat = pretrainer(torch.where(hidden, torch.zeros(()), clip))
    assert flat == 0
    assert other > 0.5


def test_what_the_decoder_is_told_of_a_masked_patch_is_where_it_is():
    """Masked patches in another order, their guesses in that order."""
    pretrainer, clip = stirred(build().pretrainer()), drawn(1, 4, 3, 16, 16)
    guesses = []
    pretrainer.decoder.register_forward_hook(lambda _, __, output: guesses.append(output))
    order = torch.arange(16)[None]
    swapped = torch.cat((order[:, :2], order[:, 2:].flip(1)), 1)
    with torch.no_grad():
        losses = [pretrainer.loss(clip, one, 2) for one in (order, swapped)]
    one, two = (guess.unflatten(1, (2, 14)) for guess in guesses)
    torch.testing.assert_close(one, two.flip(2), rtol=1e-4, atol=1e-4)
    assert (one - one.flip(2)).abs().max() > 0.01
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 3])
def test_pretraining_reaches_every_weight_and_lowers_the_loss(channels):
    model = build(channels)
    pretrainer, clip = model.pretrainer().train(), drawn(4, 4, channels, 16, 16)
    optimizer = torch.optim.SGD(pretrainer.parameters(), 0.05)
    losses = []
    for _ in range(2):
        torch.manual_seed(11)
        optimizer.zero_grad()
        losses.append(pretrainer(clip))
        losses[-1].backward()
        for name, parameter in pretrainer.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name
        optimizer.step()
    assert losses[1] < losses[0]


@pytest.mark.slow
def test_a_pattern_that_repeats_is_learnt():
    """A masked patch of a striped clip looks like its visible ones: the error falls far below one."""
    torch.manual_seed(0)
    pretrainer = build(1, width=32, heads=2, mask_ratio=0.75).pretrainer().train()
    optimizer = torch.optim.AdamW(pretrainer.parameters(), 3e-3)
    losses = []
    for _ in range(80):
        phase = torch.rand(16, 1, 1, 1, 1) * 2 * math.pi
        stripes = torch.sin(torch.arange(16) * math.pi / 2 + phase)
        loss = pretrainer(stripes.expand(16, 4, 1, 16, 16))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 0.8
    assert sum(losses[-5:]) / 5 < 0.3


# From one to the other


def test_the_pretrainer_is_the_authors_at_the_standard_size():
    with torch.device("meta"):
        pretrainer = videomae.create(channels=3, length=16, classes=1).pretrainer()
    expected = {f"encoder.{name}": shape for name, shape in encoder_shapes().items()} | {
        "encoder.norm.weight": (768,),
        "encoder.norm.bias": (768,),
        "encoder_to_decoder.weight": (384, 768),
        "mask_token": (1, 1, 384),
        "decoder.norm.weight": (384,),
        "decoder.norm.bias": (384,),
        "decoder.head.weight": (1536, 384),
        "decoder.head.bias": (1536,),
    }
    for layer in range(4):
        expected |= layer_shapes(f"decoder.blocks.{layer}", 384)
    assert shapes_of(pretrainer) == expected
    assert sum(p.numel() for p in pretrainer.parameters()) == 94_210_944
    assert [block.attn.heads for block in pretrainer.decoder.blocks] == [6] * 4


@pytest.mark.parametrize(("heads", "width"), [(1, 5), (2, 24), (3, 24), (5, 20), (12, 48)])
def test_the_decoder_has_half_the_heads_each_as_wide(heads, width):
    pretrainer = build(width=width, heads=heads).pretrainer()
    narrow = max(1, heads // 2)
    assert pretrainer.mask_token.shape == (1, 1, width // heads * narrow)
    assert pretrainer.decoder.blocks[0].attn.heads == narrow


def test_pretraining_trains_the_network_that_it_came_from():
    model = build()
    of_network = {id(parameter) for parameter in model.parameters()}
    of_encoder = {id(parameter) for parameter in model.pretrainer().encoder.parameters()}
    own = {id(p) for name, p in model.named_parameters() if name.startswith(("patch", "blocks"))}
    assert of_network & of_encoder == own


@pytest.mark.parametrize("wrapper", ["", "model.network.", "module."])
def test_a_classifier_takes_what_was_pretrained_and_says_what_it_does_not_take(wrapper):
    state = pretrained(build(classes=1, seed=1))
    model = build(classes=5, seed=2)
    fresh = {n: v.clone() for n, v in model.state_dict().items() if n.startswith("fc")}
    notes = load_published(model, {wrapper + name: value for name, value in state.items()})
    for name, value in model.state_dict().items():
        expected = fresh[name] if name in fresh else state[f"encoder.{name}"]
        assert torch.equal(value, expected), name
    left_out = next(note for note in notes if "left out" in note)
    assert "decoder" in left_out or "mask_token" in left_out
    assert any("4 tensors fresh" in note and "fc" in note for note in notes)


def test_the_authors_classifier_is_taken_whole():
    source, model = stirred(build()), build(seed=2)
    state = {
        name.replace("fc.", "head.") if name.startswith("fc.") else name: value
        for name, value in source.state_dict().items()
    }
    assert load_published(model, state) == [f"{len(state)} tensors matched"]
    clip = drawn(2, 4, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(model(clip), source(clip))


def test_a_flow_network_takes_what_was_pretrained_on_frames():
    state = pretrained(build(seed=1))
    model = build(channels=2, seed=2)
    load_published(model, state)
    first = model.state_dict()["patch_embed.proj.weight"]
    for channel in range(2):
        torch.testing.assert_close(
            first[:, channel], state["encoder.patch_embed.proj.weight"].mean(1)
        )


@pytest.mark.parametrize("missing", ["encoder.blocks.1.attn.q_bias", "encoder.blocks.0.norm1.bias"])
def test_a_checkpoint_that_lacks_a_weight_is_refused(missing):
    state = pretrained(build(seed=1))
    del state[missing]
    with pytest.raises(WeightsError, match=missing.removeprefix("encoder.")):
        load_published(build(), state)


def test_a_vit_of_pictures_is_refused(timm):
    state = timm.models.VisionTransformer(
        img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, num_classes=5
    ).state_dict()
    with pytest.raises(WeightsError, match="another architecture"):
        load_published(build(), state)
