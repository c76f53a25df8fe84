"""LRCN and GRU-RCN: what they compute, and that nothing comes from the future."""

import pytest
import torch
from made_networks import build, with_statistics
from torch.nn import functional

from twostream.models.conv_gru import ConvGRU

EVERY = pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cnn_lstm", {"layers": 1}),
        ("cnn_lstm", {"layers": 2}),
        ("conv_gru", {"at": "-1"}),
        ("conv_gru", {"at": "-2,-1"}),
        ("conv_gru", {"at": "0,1,2,3"}),
    ],
)
FRAMES = 6


def recurrent(name, options):
    torch.manual_seed(4)
    clip = 3 * torch.randn(2, FRAMES, 2, 32, 32)
    model = build(name, channels=2, length=FRAMES, backbone="tiny", hidden=8, **options)
    return with_statistics(model), clip


@EVERY
@pytest.mark.parametrize("changed", range(FRAMES))
def test_a_frame_changes_its_own_step_and_all_behind_it_and_none_before(name, options, changed):
    model, clip = recurrent(name, options)
    other = clip.clone()
    other[:, changed] = -2 * other[:, changed]
    with torch.no_grad():
        moved = (model.steps(clip) - model.steps(other)).abs().amax((0, 2))
    assert (moved[:changed] < 1e-6).all()
    assert (moved[changed:] > 1e-5).all()


@EVERY
def test_the_steps_of_the_beginning_of_a_clip_are_the_beginning_of_its_steps(name, options):
    model, clip = recurrent(name, options)
    with torch.no_grad():
        steps = model.steps(clip)
        for length in (1, 3):
            torch.testing.assert_close(model.steps(clip[:, :length]), steps[:, :length])


@EVERY
def test_the_lstms_steps_are_averaged_and_of_the_grus_the_last_one_counts(name, options):
    model, clip = recurrent(name, options)
    with torch.no_grad():
        steps = model.steps(clip)
        assert steps.shape == (2, FRAMES, 5)
        expected = steps.mean(1) if name == "cnn_lstm" else steps[:, -1]
        torch.testing.assert_close(model(clip), expected)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_lrcn_is_the_equations_of_its_lstm_over_each_frames_features(layers):
    """Donahue et al. 2015, section 2, with the gates in PyTorch's order: i, f, g, o."""
    model, clip = recurrent("cnn_lstm", {"layers": layers})
    state = model.lstm.state_dict()
    with torch.no_grad():
        expected = []
        h = [torch.zeros(2, 8) for _ in range(layers)]
        c = [torch.zeros(2, 8) for _ in range(layers)]
        for t in range(FRAMES):
            x = model.backbone(clip[:, t])
            for n in range(layers):
                of_x, of_h = state[f"weight_ih_l{n}"], state[f"weight_hh_l{n}"]
                b = state[f"bias_ih_l{n}"] + state[f"bias_hh_l{n}"]

                def gate(k, x=x, h=h[n], of_x=of_x, of_h=of_h, b=b):
                    rows = slice(8 * k, 8 * k + 8)
                    return x @ of_x[rows].T + h @ of_h[rows].T + b[rows]

                i, f, o = gate(0).sigmoid(), gate(1).sigmoid(), gate(3).sigmoid()
                c[n] = f * c[n] + i * gate(2).tanh()
                x = h[n] = o * c[n].tanh()
            expected.append(x @ model.fc.weight.T + model.fc.bias)
        torch.testing.assert_close(model.steps(clip), torch.stack(expected, 1))


def slow_convolution(x, weight, bias=0.0):
    """A 3×3 convolution, place by place: (B, C, H, W) → (B, O, H, W)."""
    padded = functional.pad(x, (1, 1, 1, 1))
    rows = [
        torch.stack(
            [
                torch.einsum("ocij,bcij->bo", weight, padded[:, :, i : i + 3, j : j + 3]) + bias
                for j in range(x.shape[3])
            ],
            -1,
        )
        for i in range(x.shape[2])
    ]
    return torch.stack(rows, -2)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_convolutional_gru_is_its_four_equations(length):
    """Ballas et al. 2016, equations 5 to 8: z, r, h~ and h = (1 − z) h + z h~."""
    torch.manual_seed(3)
    hidden = 3
    cell, maps = ConvGRU(2, hidden), 2 * torch.randn(2, length, 2, 4, 5)
    with torch.no_grad():
        w_z, w_r, w = cell.of_input.weight.split(hidden)
        b_z, b_r, b = cell.of_input.bias.split(hidden)
        u_z, u_r = cell.gates_of_state.weight.split(hidden)
        u = cell.candidate_of_state.weight
        h, expected = torch.zeros(2, hidden, 4, 5), []
        for t in range(length):
            x = maps[:, t]
            z = (slow_convolution(x, w_z, b_z) + slow_convolution(h, u_z)).sigmoid()
            r = (slow_convolution(x, w_r, b_r) + slow_convolution(h, u_r)).sigmoid()
            candidate = (slow_convolution(x, w, b) + slow_convolution(r * h, u)).tanh()
            h = (1 - z) * h + z * candidate
            expected.append(h)
        torch.testing.assert_close(cell(maps), torch.stack(expected, 1))


def test_a_state_keeps_where_things_happen():
    """What happens in one corner moves the states around it, a place further each frame."""
    cell, maps = ConvGRU(2, 3), torch.zeros(1, 4, 2, 12, 12)
    other = maps.clone()
    other[0, 0, :, 0, 0] = 5
    with torch.no_grad():
        moved = (cell(maps) != cell(other)).any(2)[0]  # (T, H, W)
    # The input's convolution reaches 1 place; each later step adds 2, for the reset gate and h~.
    for t in range(4):
        assert moved[t, 0, 0]
        assert not moved[t, 2 + 2 * t :].any()
        assert not moved[t, :, 2 + 2 * t :].any()


@pytest.mark.parametrize(("at", "levels"), [("-1", [3]), ("0,2", [0, 2]), ("-2,-1", [2, 3])])
def test_each_level_has_a_recurrence_and_a_share_of_the_classifier(at, levels):
    model, clip = recurrent("conv_gru", {"at": at})
    with torch.no_grad():
        maps = model.backbone.maps(clip.flatten(0, 1))
        shares = model.fc.weight.split(8, dim=1)
        expected = model.fc.bias
        for level, cell, share in zip(levels, model.levels, shares, strict=True):
            state = cell(maps[level].unflatten(0, (2, FRAMES)))[:, -1]
            expected = expected + state.mean((2, 3)) @ share.T
        torch.testing.assert_close(model(clip), expected)
