import pytest
import torch
from made_networks import drawn, stirred
from torch.utils.flop_counter import FlopCounterMode

from twostream.models import mvit
from twostream.nets.pretrained import WeightsError, load_published

LAYERS = {"16": (1, 2, 11, 2), "8": (1, 2, 3, 2), "4": (1, 1, 1, 1)}


def build(channels=3, length=8, classes=5, seed=0, **options):
    torch.manual_seed(seed)
    small = {"size": 64, "width": 16, "depth": "4"}
    return mvit.create(channels=channels, length=length, classes=classes, **small | options).eval()


def reference(torchvision, depth="4", width=16, length=8, size=64, classes=5):
    """torchvision's network, with the blocks of table 3 written out for another width or depth."""
    video, blocks = torchvision.models.video.mvit, []
    depths = LAYERS[depth]
    for scale, count in enumerate(depths):
        for layer in range(count):
            pools, widens = scale > 0 and layer == 0, scale < 3 and layer == count - 1
            blocks.append(
                video.MSBlockConfig(
                    num_heads=2**scale,
                    input_channels=width * 2**scale,
                    output_channels=width * 2 ** (scale + widens),
                    kernel_q=[3, 3, 3] if pools else [],
                    kernel_kv=[3, 3, 3],
                    stride_q=[1, 2, 2] if pools else [],
                    stride_kv=[1, 8 // 2**scale, 8 // 2**scale],
                )
            )
    network = video.MViT(
        spatial_size=(size, size),
        temporal_size=length,
        block_setting=blocks,
        residual_pool=False,
        residual_with_cls_embed=True,
        rel_pos_embed=False,
        proj_after_attn=False,
        num_classes=classes,
    )
    return stirred(network, by=0.1)


def test_size_and_cost_are_the_published_ones():
    with torch.device("meta"):
        model = mvit.create(channels=3, length=16, classes=400).eval()
        clip = torch.empty(1, 16, 3, 224, 224)
    assert sum(p.numel() for p in model.parameters()) == 36_610_672
    with FlopCounterMode(display=False) as counter:
        model(clip)
    assert counter.get_total_flops() / 2e9 == pytest.approx(70.6, rel=0.01)


def test_names_and_shapes_are_torchvisions_but_for_the_last_layer(torchvision):
    with torch.device("meta"):
        own = mvit.create(channels=3, length=16, classes=400).state_dict()
        theirs = torchvision.models.video.mvit_v1_b().state_dict()
    renamed = {name.replace("head.1.", "fc."): value.shape for name, value in theirs.items()}
    assert {name: value.shape for name, value in own.items()} == renamed


def test_the_published_weights_are_torchvisions(torchvision):
    kind = torchvision.models.video.MViT_V1_B_Weights
    assert build().pretrained.published == kind.DEFAULT.url


@pytest.mark.parametrize(
    ("depth", "width", "length", "size"),
    [("4", 16, 8, 64), ("4", 8, 4, 96), ("8", 8, 2, 32), ("16", 24, 6, 64)],
)
def test_logits_are_torchvisions_on_the_same_weights(torchvision, depth, width, length, size):
    theirs = reference(torchvision, depth, width, length, size)
    ours = build(length=length, size=size, width=width, depth=depth)
    notes = load_published(ours, theirs.state_dict())
    assert len(notes) == 1
    clip = drawn(2, length, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(ours(clip), theirs(clip.transpose(1, 2)), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_logits_of_the_papers_network_are_torchvisions_on_the_same_weights(torchvision):
    torch.manual_seed(5)
    theirs = torchvision.models.video.mvit_v1_b().eval()
    ours = mvit.create(channels=3, length=16, classes=400).eval()
    load_published(ours, theirs.state_dict())
    clip = drawn(1, 16, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(clip), theirs(clip.transpose(1, 2)), rtol=1e-4, atol=1e-4)


def test_positions_of_the_standard_grid_are_not_touched():
    model = stirred(build(), by=0.1)
    positions = model.pos_encoding
    out = positions(torch.zeros(1, 16, 4, 16, 16))
    expected = positions.temporal_pos[:, None] + positions.spatial_pos[None]
    assert torch.equal(out[0, 0], positions.class_token + positions.class_pos)
    assert torch.equal(out[0, 1:], expected.flatten(0, 1))


def test_positions_are_interpolated_on_loading_as_they_are_on_another_clip(torchvision):
    """One network has positions for 8 × 64² and sees 4 × 96²; of another they are made for that."""
    state = reference(torchvision, length=8, size=64).state_dict()
    made_for_it, other = build(length=4, size=96), build(length=8, size=64)
    for model in (made_for_it, other):
        load_published(model, state)
    clip = drawn(2, 4, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(made_for_it(clip), other(clip), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("length", "height", "width"), [(16, 64, 64), (1, 64, 64), (7, 65, 79), (8, 20, 33), (1, 1, 2)]
)
def test_no_clip_is_too_short_or_too_small(length, height, width):
    with torch.no_grad():
        logits = build()(drawn(1, length, 3, height, width))
    assert logits.shape == (1, 5)
    assert torch.isfinite(logits).all()


def test_queries_are_pooled_at_each_new_scale_and_the_class_token_never():
    model, grids, tokens = build(length=4, depth="8"), [], []

    def note(_, __, output):
        tokens.append(output[0].shape[1])
        grids.append(output[1])

    for block in model.blocks:
        block.register_forward_hook(note)
    with torch.no_grad():
        model(drawn(1, 4, 3, 64, 64))
    sides = [16, 8, 8, 4, 4, 4, 2, 2]  # depths 1, 2, 3, 2
    assert grids == [(2, side, side) for side in sides]
    assert tokens == [1 + 2 * side * side for side in sides]


def test_a_flow_network_takes_the_weights_of_one_for_frames(torchvision):
    state = reference(torchvision, classes=7).state_dict()
    model = build(channels=2, seed=2)
    notes = load_published(model, state)
    own = model.state_dict()
    for channel in range(2):
        first = own["conv_proj.weight"][:, channel]
        torch.testing.assert_close(first, state["conv_proj.weight"].mean(1))
    for name, value in state.items():
        if name != "conv_proj.weight" and not name.startswith("head"):
            assert torch.equal(own[name], value), name
    assert any("fc.weight" in note and "7" in note for note in notes)


def test_weights_of_another_width_are_refused_and_nothing_has_changed(torchvision):
    state = reference(torchvision, width=8).state_dict()
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"conv_proj.weight is \(8, "):
        load_published(model, state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("option", [{"width": 0}, {"size": 0}, {"drop_path": 1.0}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        build(**option)
