import pytest
import torch
from made_networks import unset
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from twostream.models import non_local
from twostream.nets.pretrained import load_published

GROUPS = ("res2", "res3", "res4", "res5")
PLAIN = 28_043_472  # numbers that are learnt without blocks, as published


def build(channels=3, classes=400, seed=0, **options):
    torch.manual_seed(seed)
    return non_local.create(channels=channels, length=8, classes=classes, **options)


def blocks_of(network):
    return {n: m for n, m in network.named_modules() if isinstance(m, non_local.NonLocal)}


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_the_backbone_has_the_published_size():
    with torch.device("meta"):
        assert parameters(build(at="none")) == PLAIN


def test_the_backbone_costs_what_is_published():
    # The published 37.53 are for 256×256, and count 5 operations for each value normalised, which
    # torch's counter leaves out.
    with torch.device("meta"):
        model, clip = build(at="none").eval(), torch.empty(1, 8, 3, 256, 256)
    normalised = []
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.register_forward_hook(lambda _, __, y: normalised.append(y.numel()))
    with FlopCounterMode(display=False) as counter:
        model(clip)
    multiplied = counter.get_total_flops() / 2e9
    assert multiplied == pytest.approx(37.10, rel=1e-3)
    assert multiplied + 5 * sum(normalised) / 1e9 == pytest.approx(37.53, rel=1e-3)


@pytest.mark.parametrize(
    ("at", "widths"),
    [
        ("none", []),
        ("res2", [256]),
        ("res3", [512] * 2),
        ("res4", [1024] * 3),
        ("res5", [2048]),
        ("res3,res4", [512] * 2 + [1024] * 3),
        ("res4,res3", [512] * 2 + [1024] * 3),
        (",".join(GROUPS), [256] + [512] * 2 + [1024] * 3 + [2048]),
    ],
)
def test_blocks_stand_behind_every_other_residual_block_of_the_groups_named(at, widths):
    with torch.device("meta"):
        model = build(at=at)
    assert [block.theta.in_channels for block in blocks_of(model).values()] == widths
    # Four 1×1×1 convolutions between the width and its half with an offset each, and a normalisation.
    added = (4 * (w * w // 2) + 3 * (w // 2) + w + 2 * w for w in widths)
    assert parameters(model) - PLAIN == sum(added)


def test_the_default_is_the_papers_five_blocks():
    with torch.device("meta"):
        assert list(blocks_of(build())) == [
            "layer2.non_local1",
            "layer2.non_local3",
            "layer3.non_local1",
            "layer3.non_local3",
            "layer3.non_local5",
        ]


@pytest.mark.parametrize("at", ["res1", "res3,res6", "", "res3, res4", "none,res3"])
def test_a_place_that_there_is_not_is_refused(at):
    with pytest.raises(ValueError, match="res2,res3,res4,res5"):
        build(at=at)


def test_a_block_at_its_start_changes_nothing():
    model = build(classes=5, at=",".join(GROUPS), dropout=0.0)
    plain = unset(build, classes=5, at="none", dropout=0.0)
    shared = {k: v for k, v in model.state_dict().items() if ".non_local" not in k}
    plain.load_state_dict(shared)
    clip = torch.randn(2, 2, 3, 33, 33)
    with torch.no_grad():
        for training in (False, True):
            assert torch.equal(model.train(training)(clip), plain.train(training)(clip))


@pytest.mark.parametrize("training", [False, True])
def test_a_fresh_block_is_the_identity_and_its_offsets_are_zero(training):
    torch.manual_seed(4)
    block, x = non_local.NonLocal(6).train(training), torch.randn(2, 6, 3, 4, 5)
    assert torch.equal(block(x), x)
    assert not block.bn.weight.any()
    for conv in (block.theta, block.phi, block.g, block.out):
        assert conv.weight.any()
        assert not conv.bias.any()


def test_embeddings_are_drawn_with_a_deviation_of_a_hundredth():
    torch.manual_seed(4)
    model = build(at="res3")
    for block in blocks_of(model).values():
        for conv in (block.theta, block.phi, block.g, block.out):
            assert conv.weight.std().item() == pytest.approx(0.01, rel=0.02)
            assert conv.weight.mean().item() == pytest.approx(0, abs=2e-4)


def trained(width):
    """A block that is far from the identity."""
    torch.manual_seed(2)
    block = non_local.NonLocal(width).eval()
    for name, value in block.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point():
            value.normal_()
    return block


@torch.no_grad()
@pytest.mark.parametrize("size", [(2, 4, 6), (3, 5, 3), (1, 1, 1)])
def test_a_block_is_the_papers_equation_place_by_place(size):
    """With loops over all pairs of places and times; equations 1, 3 and 6 and the authors' scale."""
    width = 6
    block, x = trained(width), torch.randn(2, width, *size)

    def embed(conv, vector):
        return conv.weight.flatten(1) @ vector + conv.bias

    def largest(clip):
        """Of each 2×2 places of a frame, those at the edges alone where nothing is beside them."""
        return [
            clip[:, t, i : i + 2, j : j + 2].amax((1, 2))
            for t in range(size[0])
            for i in range(0, size[1], 2)
            for j in range(0, size[2], 2)
        ]

    expected = x.clone()
    for b, t, i, j in torch.cartesian_prod(*map(torch.arange, (2, *size))).tolist():
        asked = embed(block.theta, x[b, :, t, i, j])
        total, y = 0.0, torch.zeros(width // 2)
        for other in largest(x[b]):
            f = torch.exp(torch.dot(asked, embed(block.phi, other)) / (width // 2) ** 0.5)
            total, y = total + f, y + f * embed(block.g, other)
        y = embed(block.out, y / total)
        deviation = (block.bn.running_var + 1e-5).sqrt()
        y = (y - block.bn.running_mean) / deviation * block.bn.weight + block.bn.bias
        expected[b, :, t, i, j] += y
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_every_place_sees_a_quarter_of_the_places_of_each_frame():
    """Of four neighbours the three that are smaller in every channel are seen by themselves alone."""
    block, x = trained(6), torch.rand(1, 6, 3, 4, 4)
    x[:, :, 1, 2, 2] += 2  # the largest of its four
    smaller, larger = x.clone(), x.clone()
    smaller[:, :, 1, 3, 3] -= 1
    larger[:, :, 1, 2, 2] += 1
    seen = [(block(changed) - block(x)).abs().amax(1)[0] > 1e-5 for changed in (smaller, larger)]
    assert seen[0].nonzero().tolist() == [[1, 3, 3]]
    assert seen[1].all()


@torch.no_grad()
def test_a_block_is_exported_and_one_graph_to_the_compiler():
    block, x = trained(8), torch.randn(2, 8, 3, 5, 4)
    torch.compiler.reset()
    for changed in (
        torch.export.export(block, (x,)).module(),
        torch.compile(block, backend="eager", fullgraph=True),
    ):
        torch.testing.assert_close(changed(x), block(x), rtol=1e-4, atol=1e-4)


# All at once quickly, one by one in `make test-all`.
@pytest.mark.parametrize(
    "at", [",".join(GROUPS), *[pytest.param(g, marks=pytest.mark.slow) for g in (*GROUPS, "none")]]
)
def test_every_placement_takes_clips_short_and_small(at):
    model = build(channels=2, classes=5, at=at).eval()
    for length, side in ((4, 64), (1, 64), (3, 33)):
        with torch.no_grad():
            logits = model(torch.randn(1, length, 2, side, side))
        assert logits.shape == (1, 5)
        assert torch.isfinite(logits).all()


def test_the_second_step_reaches_what_the_scale_of_zero_hides_from_the_first():
    model = build(classes=2).train()
    clip, label = torch.randn(2, 4, 3, 32, 32), torch.arange(2)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def unreached():
        optimizer.zero_grad()
        functional.cross_entropy(model(clip), label).backward()
        found = {n for n, p in model.named_parameters() if p.grad.abs().max() == 0}
        optimizer.step()
        return found

    hidden = {
        f"{name}.{part}.{kind}"
        for name in blocks_of(model)
        for part in ("theta", "phi", "g", "out")
        for kind in ("weight", "bias")
    }
    assert unreached() == hidden
    # What φ's offset adds to all products of a place the softmax takes no notice of, and W's offset is
    # subtracted again by the normalisation: at most rounding reaches these two.
    assert unreached() <= {
        f"{name}.{part}.bias" for name in blocks_of(model) for part in ("phi", "out")
    }


@pytest.mark.parametrize("depth", ["50", "101"])
def test_only_the_first_convolutions_named_in_public_models_see_neighbouring_frames(depth):
    with torch.device("meta"):
        model = build(depth=depth, at="none")
    counts = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3)}[depth]
    wanted = {"conv1": 5}
    for group, count in enumerate(counts, 1):
        for block in range(count):
            if group == 1 or block % 2 == (group == 4):
                wanted[f"layer{group}.{block}.conv1"] = 3
    seen = {
        name: module.kernel_size[0]
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1
    }
    assert seen == wanted


@pytest.mark.parametrize("depth", ["50", "101"])
def test_the_backbones_names_and_shapes_are_torchvisions_with_time(torchvision, depth):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"resnet{depth}")(weights=None).state_dict()
        model = build(classes=1000, depth=depth)
    own = {k: v for k, v in model.state_dict().items() if ".non_local" not in k}
    assert own.keys() == theirs.keys()
    for name, value in own.items():
        shape = value.shape[:2] + value.shape[3:] if value.ndim == 5 else value.shape
        assert shape == theirs[name].shape, name
    kind = getattr(torchvision.models, f"ResNet{depth}_Weights")
    assert model.pretrained.published == kind.DEFAULT.url


@pytest.fixture(scope="module")
def resnet50(torchvision):
    """The weights of a 2-D network."""
    torch.manual_seed(1)
    return torchvision.models.resnet50(weights=None).state_dict()


@pytest.mark.parametrize("channels", [3, 2])
def test_a_2d_networks_weights_are_inflated_and_the_blocks_stay_fresh(resnet50, channels):
    model = unset(build, channels=channels, classes=5)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    notes = load_published(model, resnet50)
    for name, value in model.state_dict().items():
        if ".non_local" in name or name.startswith("fc."):
            assert torch.equal(value, before[name]), name
        elif value.ndim < 5:
            assert torch.equal(value, resnet50[name]), name
        elif name == "conv1.weight" and channels == 2:
            mean = resnet50[name].mean(1, keepdim=True).expand(-1, 2, -1, -1)
            torch.testing.assert_close(value.sum(2), mean)
        else:
            torch.testing.assert_close(value.sum(2), resnet50[name])
    assert any("53 kernels inflated" in note for note in notes)
    assert any("non_local" in note and "fresh" in note for note in notes)


def test_own_weights_with_trained_blocks_are_taken_whole():
    source = build(classes=5, seed=1)
    for block in blocks_of(source).values():
        nn.init.ones_(block.bn.weight)
    model = unset(build, classes=5)
    assert len(load_published(model, source.state_dict())) == 1
    clip = torch.randn(1, 4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(clip), source.eval()(clip))
