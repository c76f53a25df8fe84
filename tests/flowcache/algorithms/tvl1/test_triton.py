"""TV-L1 in kernels: on a GPU where there is one, else in Triton's interpreter, and compiled for others.

Triton changes the process that imports it: its interpreter replaces functions of the language, and
PyTorch looks whether it is there. So it lives in a child, which does what the tests ask it for: this
file, run as a program.
"""

import contextlib
import importlib.util
import itertools
import json
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import cv2
import made_videos as made
import middlebury
import numpy as np
import pytest
import torch

from flowcache.algorithms import _devices, tvl1, tvl1_torch, tvl1_triton
from flowcache.algorithms._tvl1_options import PROFILES, Options
from flowcache.errors import UserError

pytestmark = pytest.mark.usefixtures("one_opencv_thread")
BESIDE = Path(sys.prefix) / "beside"  # where `make` puts what only tests need
# The interpreter's time is that of the operations, however large the tile: small tiles are slow.
BIG, SMALL, FLAT = (32, 64, 4), (16, 16, 2), (16, 32, 4)  # rows, columns, depth
SCENES = ["RubberWhale", "Grove2", "Urban2", "Venus"]


# The child


class Child:
    """A process that can import Triton; a call has one of the functions below done there."""

    def __init__(self, root, folder, *, interpreter):
        self.errors = folder / "errors"
        paths = [str(root), str(root / "tests" / "stubs"), os.environ.get("PYTHONPATH")]
        environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "TRITON_CACHE_DIR": str(folder / "cache"),
            "TRITON_INTERPRET": str(int(interpreter)),
            "OMP_NUM_THREADS": "1",
        }
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def __call__(self, function, *args, **named):
        pickle.dump((function.__name__, args, named), self.process.stdin)
        self.process.stdin.flush()
        try:
            works, result = pickle.load(self.process.stdout)
        except EOFError:
            pytest.fail(f"the child is gone: {self.errors.read_text()[-2000:]}")
        assert works, result
        return result

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def serve():
    """What the child does until nobody asks any more."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed is no answer
    if importlib.util.find_spec("triton") is None:
        sys.path.append(str(BESIDE))
    torch.set_num_threads(1)
    while True:
        try:
            name, args, named = pickle.load(requests)
        except EOFError:
            return
        try:
            with torch.inference_mode():
                answer = True, globals()[name](*args, **named)
        except Exception:
            answer = False, traceback.format_exc()
        pickle.dump(answer, answers)
        answers.flush()


def require_triton():
    if importlib.util.find_spec("triton") is None and not (BESIDE / "triton").is_dir():
        pytest.skip("Triton is not installed")


@pytest.fixture(scope="module")
def child(root, tmp_path_factory):
    """What computes, by the GPU or by the interpreter."""
    require_triton()
    child = Child(root, tmp_path_factory.mktemp("triton"), interpreter=not _devices.gpus())
    yield child
    child.close()


# What it can be asked for


@contextlib.contextmanager
def tiles_of(tile):
    """The kernels with tiles of this size, by default with their own."""
    from flowcache.algorithms import _tvl1_triton_kernels as kernels

    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("ROWS", "COLUMNS", "DEPTH"), tile or (), strict=False):
            patch.setattr(kernels, name, value)
        yield kernels


def device():
    return [*_devices.gpus(), "cpu"][0]


def on_device(*arrays):
    return [torch.from_numpy(array).to(device()) for array in arrays]


def solved(algorithm, options, stacks, step=1, tile=None):
    solver = {"tvl1_torch": tvl1_torch, "tvl1_triton": tvl1_triton}[algorithm].create(**options)
    with tiles_of(tile):
        return solver.solve(on_device(*stacks), step).cpu().numpy()


def called(options, gray):
    return _devices.flow_of(tvl1_triton.create(**options), gray, device()).data


def version():
    import triton

    return triton.__version__, tvl1_triton.create().version


def level(options, u):
    """A level of a pyramid on which nothing was done yet, and in which only the flow is known."""
    start, image = u, u.new_zeros(len(u), 3, *u.shape[2:])
    return tvl1_triton._Level(options, image, image[:, 0], image[:, 0], start)


def filtered(u, side):
    at = level(Options(median_filtering=side), *on_device(u))
    at.median(tested=False)
    return at.u[1].cpu().numpy()


def linearised(image0, moving, u):
    image0, moving, u = on_device(image0, moving, u)
    at = tvl1_triton._Level(Options(), moving, image0, image0, u)
    at.linearise()
    return at.linear.cpu().numpy()


def iterated(linear, damping, u, p, count, tile, tested):
    """u and p after so many iterations, and the sums of |Δu|² of each."""
    linear, damping, u, p = on_device(linear, damping, u, p)
    with tiles_of(tile) as kernels:
        at = tvl1_triton._Level(Options(), linear, damping, damping, u)
        at.linear, at.p[0] = linear, p
        at.state[:, kernels.TODO.value] = count
        at.iterate(count, tested=tested)
        changes = at.changes.sum(1)[:, :count]
        return at.u[1].cpu().numpy(), at.p[1].cpu().numpy(), changes.cpu().numpy()


def histories(totals, median, tile, tiles):
    """What would have been done to each pair's u and p, if its updates were these (P, outer, inner).

    Only the kernel that decides is run; what is decided about is a list of what was done to it.
    """
    pairs, outer, inner = totals.shape
    options = Options(epsilon=1.0, inner_iterations=inner, median_filtering=3 if median else 1)
    with tiles_of(tile) as kernels:
        depth = kernels.DEPTH
        # One row of tiles; the threshold is the number of pixels.
        width = (kernels.COLUMNS - 2 * depth) * tiles
        at = level(options, torch.zeros(pairs, 2, 1, width, device=device()))
        assert at.tiles == tiles
        u, p = ([[[], None] for _ in range(pairs)] for _ in range(2))
        for i in range(outer):
            sides = at.state[:, kernels.U_SIDE.value].tolist()
            for pair in range(pairs if median else 0):
                u[pair][1 - sides[pair]] = [*u[pair][sides[pair]], "median"]
            at.schedule(start=True)
            for _ in range(-(-inner // depth) + 1):
                for pair, (todo, _, u_side, p_side) in enumerate(at.state.tolist()):
                    if not todo:
                        continue
                    first = sum(done[0] == i for done in p[pair][p_side])
                    done = [(i, n) for n in range(first, first + todo)]
                    u[pair][1 - u_side] = u[pair][u_side] + done
                    p[pair][1 - p_side] = p[pair][p_side] + done
                    # All of them but one have an equal share of the update.
                    share = totals[pair, i, first : first + todo] * width / (2 * tiles)
                    at.changes[pair, :, :todo] = torch.from_numpy(share).to(at.changes)
                    at.changes[pair, -1, :todo] *= tiles + 1
                at.schedule(start=False)
        return [
            (u[pair][u_side], p[pair][p_side])
            for pair, (_, _, u_side, p_side) in enumerate(at.state.tolist())
        ]


# Against the form in PyTorch


def expected(options, stacks, step=1):
    tensors = [torch.from_numpy(stack) for stack in stacks]
    with torch.inference_mode():
        return tvl1_torch.create(**options).solve(tensors, step).numpy()


def assert_equal_but_for_rounding(ours, theirs):
    assert ours.shape == theirs.shape
    difference = np.abs(ours - theirs)
    assert difference.max(initial=0) < 2e-3
    assert difference.mean() < 2e-5


def pairs(*motions, shape):
    return [made.moving_scene(2, *shape, *motion, seed) for seed, motion in enumerate(motions)]


SHORT = {"warps": 1, "inner_iterations": 5, "nscales": 2, "median_filtering": 3}
ONE_LEVEL = SHORT | {"warps": 2, "nscales": 1}


@pytest.mark.parametrize(
    ("shape", "tile"),
    [
        ((1, 1), BIG),
        ((1, 9), SMALL),
        ((13, 1), SMALL),
        ((5, 3), BIG),
        ((12, 12), SMALL),  # just one tile
        ((13, 25), SMALL),
        ((17, 16), BIG),
        ((21, 34), SMALL),
        ((33, 59), BIG),
        ((9, 50), FLAT),
    ],
    ids=str,
)
def test_the_flow_is_that_of_the_form_in_pytorch(child, shape, tile):
    gray = made.moving_scene(2, *shape, 1.3, -0.6, 2)
    options = ONE_LEVEL if min(shape) < 20 else SHORT
    ours = child(solved, "tvl1_triton", options, [gray], tile=tile)
    assert_equal_but_for_rounding(ours, expected(options, [gray]))


@pytest.mark.parametrize(
    "options",
    [
        {"median_filtering": 1},
        {"outer_iterations": 3},
        {"median_filtering": 5, "outer_iterations": 2},
        {"inner_iterations": 1},
        {"inner_iterations": 4, "outer_iterations": 2},
        {"inner_iterations": 7},
        {"profile": "opencv", "epsilon": 0.0, "outer_iterations": 1},
        {"tau": 0.2, "lambda_": 0.3, "theta": 0.2, "edge_weight": 0.1},
    ],
    ids=str,
)
def test_it_has_the_options_of_the_form_in_pytorch(child, options):
    # A scene within which something moves otherwise, so that a median and a limit do something.
    gray = made.moving_scene(2, 20, 30, 1.3, -0.6, 2)
    gray[1, 5:11, 8:20] = gray[0, 5:11, 8:20]
    ours = child(solved, "tvl1_triton", ONE_LEVEL | options, [gray], tile=FLAT)
    assert_equal_but_for_rounding(ours, expected(ONE_LEVEL | options, [gray]))
    assert np.abs(expected(ONE_LEVEL, [gray]) - ours).max() > 1e-3


def test_stacks_have_the_flow_of_their_pairs(child):
    stacks = [made.moving_scene(n, 16, 19, 0.8, -0.4, n) for n in (4, 1, 3)]
    ours = child(solved, "tvl1_triton", ONE_LEVEL, stacks, step=2)
    assert len(ours) == 3
    assert_equal_but_for_rounding(ours, expected(ONE_LEVEL, stacks, step=2))


def test_a_call_is_a_batch_of_one_stack(child):
    gray = made.moving_scene(3, 12, 11, 0.8, -0.4)
    ours = child(called, SHORT, gray)
    np.testing.assert_array_equal(ours, child(solved, "tvl1_triton", SHORT, [gray]))


@pytest.mark.parametrize("levels", [(0, 0), (255, 255), (0, 255)], ids=str)
def test_where_there_is_nothing_to_see_there_is_no_flow(child, levels):
    stack = np.stack([np.full((17, 20), level, np.uint8) for level in levels])
    ours = child(solved, "tvl1_triton", ONE_LEVEL, [stack])
    assert np.isfinite(ours).all()
    # Where black turns to white no gradient leads anywhere.
    np.testing.assert_array_equal(ours, np.zeros((1, 2, 17, 20)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (19, 37)], ids=str)
def test_what_does_not_move_has_no_flow(child, shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    ours = child(solved, "tvl1_triton", SHORT, [np.stack([image, image])])
    np.testing.assert_array_equal(ours, np.zeros((1, 2, *shape)))


# The stop test


def mixed_pairs(shape):
    """Pairs that converge at very different times, and one that does not at all."""
    still, slow, fast, other = pairs((0, 0), (0.1, 0.05), (2, -1), (0.6, 0.3), shape=shape)
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.uint8)
    return [slow, still, noise, fast, other]


STOPPING = {"nscales": 1, "warps": 1, "median_filtering": 3}


@pytest.mark.parametrize(
    ("options", "tile"),
    [
        ({"epsilon": 0.1, "inner_iterations": 7, "outer_iterations": 3}, FLAT),
        ({"epsilon": 0.05, "inner_iterations": 5, "outer_iterations": 2}, SMALL),
        ({"epsilon": 0.05, "inner_iterations": 5, "outer_iterations": 2, "warps": 2}, BIG),
        ({"epsilon": 0.1, "inner_iterations": 3, "outer_iterations": 2}, BIG),
        ({"epsilon": 0.1, "inner_iterations": 8, "median_filtering": 1}, BIG),
    ],
    ids=str,
)
def test_each_pair_of_a_batch_stops_where_it_does_in_pytorch(child, options, tile):
    stacks = mixed_pairs((16, 20))
    options = STOPPING | options
    ours = child(solved, "tvl1_triton", options, stacks, tile=tile)
    theirs = expected(options, stacks)
    for mine, yours in zip(ours, theirs, strict=True):
        assert_equal_but_for_rounding(mine, yours)
    # The slow pair reaches the threshold before the iterations end, and the noise never does.
    unending = expected(options | {"epsilon": 0.0}, stacks)
    early = np.abs(theirs - unending).max((1, 2, 3)) > 1e-3
    assert early[0]
    assert not early[2]


def test_a_field_does_not_depend_on_the_other_pairs_of_its_batch_nor_on_their_order(child):
    options = STOPPING | {"epsilon": 0.1, "inner_iterations": 5, "outer_iterations": 2}
    stacks = mixed_pairs((16, 20))
    together = child(solved, "tvl1_triton", options, stacks)
    for i in (0, 2):
        alone = child(solved, "tvl1_triton", options, [stacks[i]])
        np.testing.assert_array_equal(alone[0], together[i])
    order = [3, 2, 0]
    other = child(solved, "tvl1_triton", options, [stacks[i] for i in order])
    np.testing.assert_array_equal(other, together[order])


@pytest.mark.parametrize("median", [True, False])
@pytest.mark.parametrize("inner", [1, 4, 7])
@pytest.mark.parametrize(("tile", "tiles"), [(BIG, 1), (SMALL, 3)], ids=str)
def test_a_pair_stops_after_the_iteration_whose_update_is_small_wherever_that_is(
    child, median, inner, tile, tiles
):
    outer = 2
    places = list(itertools.product(range(outer), range(inner)))
    # One pair for each place where it can happen, and one where it never does. Before it all updates
    # are large, and after it they are as it happens.
    random = np.random.default_rng(inner)
    totals = random.choice([0.5, 2.0], (len(places) + 1, outer, inner))
    for pair, (i, n) in enumerate(places):
        totals[pair, :i] = totals[pair, i, :n] = 2
        totals[pair, i, n] = 0.5
    totals[-1] = 2

    def history(pair):
        u, p = [], []
        for i in range(outer):
            u += ["median"] * median
            for n in range(inner):
                u.append((i, n))
                p.append((i, n))
                if totals[pair, i, n] < 1:
                    return u, p
        return u, p

    done = child(histories, totals, median, tile, tiles)
    assert done == [history(pair) for pair in range(len(totals))]


# Each kernel by itself


@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (6, 2), (23, 31)], ids=str)
def test_a_median_is_opencvs_with_its_edges_repeated(child, side, shape):
    u = np.random.default_rng(side).normal(0, 3, (2, 2, *shape)).astype(np.float32)
    theirs = [[cv2.medianBlur(c, side).reshape(shape) for c in pair] for pair in u]
    np.testing.assert_array_equal(child(filtered, u, side), theirs)


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (13, 1), (17, 52)], ids=str)
@pytest.mark.parametrize("far", [0.5, 5, 100, 1e6])
def test_an_image_is_sampled_as_pytorch_does_also_far_outside(child, shape, far):
    random = np.random.default_rng(0)
    image0 = random.integers(0, 256, (2, *shape)).astype(np.float32)
    moving = random.normal(0, 50, (2, 3, *shape)).astype(np.float32)
    u = random.normal(0, far, (2, 2, *shape)).astype(np.float32)
    rho, grad = tvl1_torch.linearised(*(torch.from_numpy(a) for a in (image0, moving, u)))
    ours = child(linearised, image0, moving, u)
    np.testing.assert_allclose(ours[:, 1:], grad, atol=0.02)
    np.testing.assert_allclose(ours[:, 0], rho, atol=0.02 * max(far, 1))


@pytest.mark.parametrize("tested", [False, True])
@pytest.mark.parametrize(
    ("shape", "tile", "count"),
    [
        ((1, 1), BIG, 4),
        ((40, 70), BIG, 4),
        ((24, 56), BIG, 3),  # just one tile
        ((25, 57), BIG, 1),  # and one pixel more each way
        ((30, 31), SMALL, 2),
        ((9, 49), FLAT, 4),
    ],
    ids=str,
)
def test_iterations_on_tiles_are_those_on_whole_fields(child, shape, tile, count, tested):
    random = np.random.default_rng(0)
    linear = random.normal(0, 10, (2, 3, *shape)).astype(np.float32)
    linear[:, 1:, ::3, ::4] = 0  # as where the image is even
    damping = random.uniform(0.5, 5, (2, *shape)).astype(np.float32)
    u = random.normal(0, 2, (2, 2, *shape)).astype(np.float32)
    p = random.uniform(-0.7, 0.7, (2, 4, *shape)).astype(np.float32)
    given = [torch.from_numpy(a) for a in (linear, damping, u, p)]
    fields, changes = [(given[2], given[3].view(2, 2, 2, *shape))], []
    once = Options(inner_iterations=1, median_filtering=1)
    for _ in range(count):
        before = fields[-1][0]
        fields.append(
            tvl1_torch.relaxed(once, given[0][:, 0], given[0][:, 1:], given[1], *fields[-1])
        )
        changes.append((fields[-1][0] - before).square().sum((1, 2, 3)))
    ours = child(iterated, linear, damping, u, p, count, tile, tested)
    np.testing.assert_allclose(ours[0], fields[-1][0], atol=1e-4)
    np.testing.assert_allclose(ours[1], fields[-1][1].reshape(p.shape), atol=1e-4)
    if tested:
        np.testing.assert_allclose(ours[2], torch.stack(changes, 1), rtol=1e-4)


# Launched for GPUs that are not here


@pytest.mark.parametrize(
    "gpu",
    [
        pytest.param("cuda 80 32", id="sm_80", marks=pytest.mark.slow),
        pytest.param("cuda 90 32", id="sm_90"),
        pytest.param("hip gfx942 64", id="gfx942", marks=pytest.mark.slow),
    ],
)
def test_every_kernel_is_compiled_once_for_frames_of_all_sizes(root, tmp_path, gpu):
    require_triton()
    run = run_python(
        root, "tests/stubs/launched_kernels.py", *gpu.split(), TRITON_CACHE_DIR=str(tmp_path)
    )
    assert (run.returncode, run.stderr) == (0, "")
    said = json.loads(run.stdout)
    # Medians of 3 and of 5, and of 5 in another form for the stop test, as the iterations; and what
    # decides for it, before and after them.
    assert said["compiled"] == {"iterate": 2, "linearise": 1, "median": 3, "schedule": 2}
    assert min(said["launches"].values()) > 20
    assert said["bare"] == []
    # So much every GPU gives to a block without being asked.
    assert said["shared"] < 48 * 1024


# On a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("scene", SCENES)
def test_on_a_gpu_the_flow_of_middlebury_is_that_of_one_core(data, child, scene, profile):
    gray = middlebury.frames(data, scene)
    truth, known = middlebury.truth(data, scene)
    single = tvl1.create(profile=profile)(gray).data[0]
    by_pytorch, by_kernels = (
        child(solved, name, {"profile": profile}, [gray])[0]
        for name in ("tvl1_torch", "tvl1_triton")
    )
    # Where Urban2 moves farther than OpenCV's pyramid reaches, rounding decides; see test_tvl1_torch.
    share = 0.95 if (scene, profile) == ("Urban2", "opencv") else 0.99
    for one, other in ((by_pytorch, single), (by_kernels, single), (by_kernels, by_pytorch)):
        assert (np.hypot(*(one - other)) < 0.1).mean() > share
        errors = [np.hypot(*(field - truth))[known].mean() for field in (one, other)]
        assert errors[0] == pytest.approx(errors[1], rel=0.02)


@pytest.mark.gpu
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ["tvl1_torch", "tvl1_triton"])
def test_on_a_gpu_a_field_does_not_depend_on_its_batch(data, child, name, profile):
    part = np.s_[:, 90:330, 120:440]
    stacks = [np.ascontiguousarray(middlebury.frames(data, scene)[part]) for scene in SCENES]
    options = {"profile": profile}
    together = child(solved, name, options, stacks)
    np.testing.assert_array_equal(child(solved, name, options, stacks), together)
    alone = [child(solved, name, options, [stack]) for stack in stacks]
    np.testing.assert_array_equal(np.concatenate(alone), together)


ON_A_GPU = """
import numpy as np
from flowcache.algorithms import tvl1_torch, tvl1_triton
gray = np.random.default_rng(0).integers(0, 256, (3, 61, 75)).astype(np.uint8)
for module in (tvl1_torch, tvl1_triton):
    assert module.devices()[0] == "cuda:0"
    for profile in ("accurate", "opencv"):
        assert module.create(profile=profile)(gray).data.shape == (2, 2, 61, 75)
"""


@pytest.mark.gpu
def test_on_a_gpu_nothing_is_warned_of(root, tmp_path):
    run = run_python(root, "-c", ON_A_GPU, TRITON_CACHE_DIR=str(tmp_path))
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


# Without a GPU, and without Triton

WITHOUT_A_GPU = """
import sys
import numpy as np
from flowcache.algorithms import tvl1_torch, tvl1_triton
from flowcache.errors import UserError
gray = np.random.default_rng(0).integers(0, 256, (2, 20, 30)).astype(np.uint8)
assert tvl1_torch.create(warps=1)(gray).data.shape == (1, 2, 20, 30)
assert tvl1_torch.devices()[0] == "cpu"
assert tvl1_triton.devices() == []
try:
    tvl1_triton.create()(gray)
except UserError as error:
    print(error)
print([name for name in sys.modules if name.partition(".")[0] == "triton"])
"""


def run_python(root, *words, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_gpu_nobody_notices_that_there_are_algorithms_for_one(root):
    # Both kinds of GPU are hidden, should there be one.
    run = run_python(root, "-c", WITHOUT_A_GPU, CUDA_VISIBLE_DEVICES="", HIP_VISIBLE_DEVICES="")
    assert (run.returncode, run.stderr) == (0, "")
    said, loaded = run.stdout.splitlines()
    assert said == "tvl1_triton needs a GPU that PyTorch can use: use tvl1"
    assert loaded == "[]"


def test_without_triton_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(tvl1_triton, "_triton_version", lambda: "")
    with pytest.raises(UserError, match="needs Triton") as caught:
        _ = tvl1_triton.create().version
    assert "\n" not in str(caught.value)


def test_its_version_names_triton(child):
    triton, ours = child(version)
    assert ours == f"1, Triton {triton}"


@pytest.mark.parametrize(
    ("triton", "able"),
    [("", False), ("3.3.1", False), ("3.4.0", True), ("3.10.0", True), ("4.0", True)],
)
def test_it_runs_on_gpus_by_a_triton_that_is_new_enough(monkeypatch, triton, able):
    monkeypatch.setattr(tvl1_triton, "_triton_version", lambda: triton)
    monkeypatch.setattr(_devices, "gpus", lambda: ["cuda:0", "cuda:1"])
    assert tvl1_triton.devices() == (["cuda:0", "cuda:1"] if able else [])
    monkeypatch.setattr(_devices, "gpus", list)
    assert tvl1_triton.devices() == []


if __name__ == "__main__":
    serve()
