"""Which device is taken, and what is said where it is not."""

import dataclasses
import subprocess
import sys

import pytest

from flowcache.algorithms.tvl1 import torch as tvl1_torch
from flowcache.algorithms.tvl1 import triton as tvl1_triton
from flowcache.errors import UserError
from flowcache.workers import devices
from flowcache.workers.devices import Choice, choose, for_this_machine


@pytest.fixture
def machine(monkeypatch):
    """A machine with some GPUs, of which PyTorch may know."""

    def make(gpus=0, driver=None, triton=True):
        names = [f"cuda:{i}" for i in range(gpus)]
        there = gpus > 0 if driver is None else driver
        monkeypatch.setattr(devices, "has_gpu_driver", lambda: there)
        monkeypatch.setattr(tvl1_torch, "devices", lambda: [*names, "cpu"])
        monkeypatch.setattr(tvl1_triton, "devices", lambda: names if triton else [])

    return make


@pytest.fixture
def begun(recipe):
    """The recipe of a cache that was begun with a backend of TV-L1."""
    made = recipe("tvl1")
    return lambda backend: dataclasses.replace(made, backend=backend)


@pytest.mark.parametrize("device", ["auto", "cpu"])
@pytest.mark.parametrize("algorithm", ["tvl1", "dis", "farneback", "tvl1_opencv"])
def test_without_a_gpu_all_is_done_on_the_processor_and_nothing_is_said(machine, device, algorithm):
    machine()
    assert choose(algorithm, {}, device) == Choice("cpu")


def test_a_machine_without_a_gpu_does_not_ask_pytorch(monkeypatch):
    monkeypatch.setattr(devices, "has_gpu_driver", lambda: False)
    monkeypatch.setattr(devices, "devices_of", lambda backend: pytest.fail("asked"))
    assert choose("tvl1") == Choice("cpu")


@pytest.mark.parametrize(
    ("gpus", "device", "expected"),
    [
        (1, "auto", ["cuda:0"]),
        (3, "auto", ["cuda:0", "cuda:1", "cuda:2"]),
        (3, "cuda", ["cuda:0", "cuda:1", "cuda:2"]),
        (3, "cuda:1", ["cuda:1"]),
        (11, "cuda:1", ["cuda:1"]),
    ],
)
@pytest.mark.parametrize(("triton", "backend"), [(True, "triton"), (False, "torch")])
def test_gpus_are_taken_with_the_fastest_backend_that_runs_on_them(
    machine, gpus, device, expected, triton, backend
):
    machine(gpus, triton=triton)
    options = {"profile": "fast", "lambda": 0.2}
    assert choose("tvl1", options, device) == Choice(backend, expected)


def test_algorithms_without_a_backend_for_a_gpu_stay_on_the_processor(machine):
    machine(1)
    assert choose("dis") == Choice("cpu")
    with pytest.raises(UserError, match="dis computes on cpu and not on cuda") as caught:
        choose("dis", {}, "cuda")
    assert caught.value.parameter == "device"


@pytest.mark.parametrize("device", ["gpu", "CPU", "cuda:", "cuda:a", "", "auto:1"])
def test_what_is_no_device_is_refused_with_those_that_there_are(machine, device):
    machine(1)
    with pytest.raises(UserError, match="write auto, cpu, cuda, cuda:1 or mps"):
        choose("tvl1", {}, device)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_here_is_refused_and_those_that_are_are_named(machine, device):
    machine()
    with pytest.raises(UserError, match=f"needs the device {device}, and PyTorch finds cpu"):
        choose("tvl1", {}, device)
    machine(1)
    with pytest.raises(
        UserError, match="needs the device cuda:7, and PyTorch finds cpu, cuda:0 here"
    ):
        choose("tvl1", {}, "cuda:7")


def test_a_gpu_that_pytorch_cannot_use_is_told_of(machine):
    machine(0, driver=True)
    choice = choose("tvl1")
    assert (choice.backend, choice.devices) == ("cpu", ())
    assert "a PyTorch that was built for it" in choice.reason


# What only the processor's backend has


@pytest.mark.parametrize("options", [{"profile": "opencv"}, {"exact": True}])
def test_who_asks_for_exact_rounding_gets_it_and_hears_why_no_gpu_was_taken(machine, options):
    machine(1)
    choice = choose("tvl1", options)
    assert (choice.backend, choice.devices) == ("cpu", ())
    assert "exact=True is for the CPU alone" in choice.reason


def test_where_the_gpu_is_asked_for_by_name_only_what_it_cannot_do_is_refused(machine):
    machine(1)
    assert choose("tvl1", {"profile": "opencv"}, "cuda") == Choice("triton", ["cuda:0"])
    for device in ("cuda", "auto"):
        given = {"profile": "opencv", "exact": False}
        assert choose("tvl1", given, device) == Choice("triton", ["cuda:0"])
    with pytest.raises(UserError, match="exact=True is for the CPU alone"):
        choose("tvl1", {"exact": True}, "cuda")


# Caches that were begun before


def test_auto_goes_on_as_a_cache_was_begun(machine, begun, recipe):
    machine(2)
    choice = choose("tvl1", begun=begun("cpu"))
    assert choice == Choice("cpu", reason="the cache was begun on the CPU")
    assert choose("tvl1", begun=begun("torch")).backend == "torch"
    assert choose("tvl1", begun=begun("triton")).backend == "triton"
    assert choose("tvl1", begun=recipe("dis")).backend == "triton"
    assert choose("tvl1", backend="torch", begun=begun("triton")).backend == "torch"
    machine(0)
    assert choose("tvl1", begun=begun("torch")) == Choice("torch", ["cpu"])
    with pytest.raises(UserError, match="tvl1 needs the device cuda"):
        choose("tvl1", begun=begun("triton"))


# Backends that are named


def test_a_backend_that_is_named_runs_where_it_can(machine):
    machine(2)
    assert choose("tvl1", backend="torch").devices == ["cuda:0", "cuda:1"]
    assert choose("tvl1", device="cpu", backend="torch") == Choice("torch", ["cpu"])
    assert choose("tvl1", device="cuda:1", backend="torch") == Choice("torch", ["cuda:1"])
    assert choose("tvl1", backend="cpu") == Choice("cpu")
    with pytest.raises(UserError, match="computes on cuda and not on cpu"):
        choose("tvl1", device="cpu", backend="triton")
    with pytest.raises(UserError, match="tvl1 has no backend 'opencl': choose from cpu, triton"):
        choose("tvl1", backend="opencl")
    machine(0)
    assert choose("tvl1", backend="torch") == Choice("torch", ["cpu"])


# A recipe from elsewhere


def test_a_recipe_is_carried_out_on_the_cpu_where_its_own_backend_cannot_be_repeated(
    machine, recipe, monkeypatch
):
    machine(1)
    options = {"profile": "fast", "lambda": 0.2}
    made = recipe("tvl1", options, backend="torch", size="96")
    on_cpu = recipe("tvl1", options, size="96")
    assert for_this_machine(made) == made
    of_another_version = dataclasses.replace(made, algorithm_version="1, PyTorch 1.0")
    assert for_this_machine(of_another_version) == on_cpu
    monkeypatch.setattr(tvl1_triton, "triton_version", lambda: "3.9.0")
    elsewhere = dataclasses.replace(made, backend="triton", algorithm_version="1, Triton 3.9.0")
    assert for_this_machine(elsewhere) == elsewhere
    machine(0)
    assert for_this_machine(made) == made
    assert for_this_machine(elsewhere) == on_cpu
    assert for_this_machine(recipe("dis")) == recipe("dis")


def test_a_user_without_a_gpu_never_notices(root):
    if devices.has_gpu_driver():
        pytest.skip("there may be a GPU here")
    code = (
        "import sys; from flowcache.workers.devices import choose; "
        "print(choose('tvl1').devices, "
        "[m for m in ('torch', 'triton') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=root, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "() []", "")
