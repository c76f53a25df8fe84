import pytest
import torch
from made_networks import build, unset, with_statistics

from twostream import backbones
from twostream.nets.pretrained import inflate, load_published


def flat(backbone):
    """A 2-D network as it would be published."""
    torch.manual_seed(1)
    return with_statistics(backbones.create(backbone, channels=3, classes=5))


def still(picture, length):
    return picture[:, None].expand(-1, length, -1, -1, -1)


def check_on_still_clips(backbone, side, lengths, **options):
    """Logits are the 2-D network's, on its own weights."""
    source = flat(backbone)
    model = unset(build, "inflate", backbone=backbone, **options)
    notes = load_published(model, source.state_dict())
    assert any("inflated in time" in note for note in notes)
    faint = torch.randn(1, 3, side, side)
    picture = torch.cat([faint, -10 * faint])
    with torch.no_grad():
        expected = source(picture)
        assert (expected[0] - expected[1]).abs().max() > 1e-2  # they say something of the picture
        for length in lengths:
            torch.testing.assert_close(
                model(still(picture, length)), expected, rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize(
    ("backbone", "side"),
    [
        ("alexnet", 64),
        ("cnn_m_2048", 48),
        ("resnet18", 33),
        ("resnet50", 40),
        ("tiny", 33),
        pytest.param(
            "vgg11", 32, marks=pytest.mark.slow
        ),  # of alexnet's kinds of layer, but larger
    ],
)
def test_on_a_repeated_frame_logits_are_those_of_the_2d_network(backbone, side):
    check_on_still_clips(backbone, side, (1, 4))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7])
def test_so_they_are_with_a_kernel_of_any_length(kernel):
    check_on_still_clips("tiny", 32, (1, 6, 8), kernel=kernel)


def test_fresh_weights_are_no_2d_networks():
    """What the tests above show comes of the weights that were loaded."""
    source, model = flat("tiny"), build("inflate", backbone="tiny", seed=2).eval()
    picture = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(model(still(picture, 4)), source(picture), atol=1e-3)


def test_time_keeps_its_length_and_neighbours_are_seen():
    model = with_statistics(build("inflate", backbone="tiny"))
    clip = torch.randn(1, 3, 9, 32, 32)
    changed = clip.clone()
    changed[:, :, 4] += 1
    with torch.no_grad():
        before, after = model.backbone.maps(clip), model.backbone.maps(changed)
    # Each of the four convolutions sees one frame more on either side.
    for reach, (one, other) in enumerate(zip(before, after, strict=True), 1):
        moved = (one != other).flatten(3).any(3).any(1)[0]
        assert moved.tolist() == [abs(t - 4) <= reach for t in range(9)]


# I3D, which pads time with zeros


def as_two_dimensional(model, kernels):
    """The 2-D network itself: on a clip of one frame, the middle of each kernel is all there is."""
    state = model.state_dict()
    for name, kernel in kernels.items():
        state[name].zero_()
        state[name][:, :, state[name].shape[2] // 2] = kernel
    return model


def test_an_inflated_i3d_is_the_2d_network_away_from_the_ends_of_a_still_clip_alone():
    """Black frames stand before and after the clip, so at its ends it is not still.

    They reach one place a convolution, and the whole network sees 99 frames: here its first quarter.
    """
    source, model = (with_statistics(build("i3d", seed=seed)) for seed in (1, 2))
    state = source.state_dict()
    kernels = {name: value.sum(2) for name, value in state.items() if value.ndim == 5}
    load_published(model, state | kernels)
    first = model.state_dict()["Conv3d_1a_7x7.conv3d.weight"]
    torch.testing.assert_close(first, inflate(kernels["Conv3d_1a_7x7.conv3d.weight"], 7))
    as_two_dimensional(source, kernels)
    found = []
    for network in (source, model):
        network.Mixed_3c.register_forward_hook(lambda _, __, output: found.append(output[0]))
    picture = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        source(still(picture, 1))
        model(still(picture, 32))
    expected, maps = found
    assert maps.shape == (480, 16, 4, 4)
    same = [torch.allclose(maps[:, t], expected[:, 0], rtol=0, atol=1e-6) for t in range(16)]
    # Of the first convolution 1 and 2 places, of the three behind it 1 each.
    assert same == [4 <= t < 11 for t in range(16)]
