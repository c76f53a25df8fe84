"""What algorithms there are, which backends each declares, and what they are called."""

import dataclasses
import importlib
import pickle

import pytest
import torch

from flowcache import algorithms
from flowcache.errors import UserError

ALL = [(name, backend.name) for name in algorithms.names() for backend in algorithms.backends(name)]
every_backend = pytest.mark.parametrize(("name", "backend"), ALL)


def test_these_are_the_algorithms_and_their_backends():
    expected = [
        ("dis", "cpu"),
        *(("farneback", backend) for backend in ("cpu", "torch")),
        *(("tvl1", backend) for backend in ("cpu", "triton", "torch")),
        ("tvl1_opencv", "cpu"),
    ]
    assert expected == ALL


@every_backend
def test_a_backend_is_made_by_the_module_that_it_names(name, backend):
    declared = algorithms.backend(name, backend)
    module = importlib.import_module(declared.module)
    made = algorithms.create(name, backend)
    assert type(made).__module__ == module.__name__
    assert made == module.create()
    assert set(declared.devices) <= {"cpu", "cuda", "mps"}


@every_backend
def test_a_batched_backend_has_devices_and_solves_many_pairs_at_once(name, backend):
    declared = algorithms.backend(name, backend)
    module, made = importlib.import_module(declared.module), algorithms.create(name, backend)
    parts = ("solve", "flow_on", "on")
    assert [hasattr(made, part) for part in parts] == [declared.batched] * len(parts)
    assert hasattr(module, "devices") == declared.batched
    if declared.batched:
        assert {device.partition(":")[0] for device in module.devices()} <= set(declared.devices)
    else:
        assert declared.devices == ("cpu",)


@pytest.mark.parametrize("name", algorithms.names())
def test_the_processors_backend_comes_first_and_is_what_the_algorithms_own_module_makes(name):
    first, *others = algorithms.backends(name)
    assert (first.name, first.batched) == ("cpu", False)
    assert all(other.batched for other in others)
    assert algorithms.create(name) == algorithms.create(name, "cpu")
    module = importlib.import_module(f"flowcache.algorithms.{name}")
    assert module.create() == algorithms.create(name)


@every_backend
def test_what_is_made_is_known_by_its_name(name, backend):
    assert algorithms.name_of(algorithms.create(name, backend)) == (name, backend)


class Still:
    """A user's own."""

    version = "1"

    def __call__(self, gray):
        raise NotImplementedError


def test_a_users_own_is_known_by_its_module_and_class():
    assert algorithms.name_of(Still()) == (f"{__name__}.Still", "cpu")


@pytest.mark.parametrize("name", algorithms.names())
def test_a_backend_that_there_is_not_is_refused_with_those_that_there_are(name):
    known = ", ".join(backend.name for backend in algorithms.backends(name))
    for unknown in ("cuda", "", "Torch"):
        with pytest.raises(UserError) as caught:
            algorithms.create(name, unknown)
        assert str(caught.value) == f"{name} has no backend {unknown!r}: choose from {known}"
        assert caught.value.parameter == "backend"


@pytest.mark.parametrize("unknown", ["tvl1_torch", "tvl1_triton", "farneback_torch", "_batched"])
def test_an_algorithm_that_there_is_not_is_refused_with_those_that_there_are(unknown):
    for ask in (algorithms.create, algorithms.backends):
        with pytest.raises(UserError) as caught:
            ask(unknown)
        assert repr(unknown) in str(caught.value)
        assert ", ".join(algorithms.names()) in str(caught.value)
        assert caught.value.parameter == "algorithm"


@pytest.mark.parametrize("name", algorithms.names())
def test_all_backends_of_an_algorithm_have_its_options(name):
    made = [algorithms.create(name, backend.name) for backend in algorithms.backends(name)]
    assert len({tuple(dataclasses.asdict(algorithm).items()) for algorithm in made}) == 1


@every_backend
def test_an_algorithm_is_frozen_keyword_only_and_picklable_also_where_it_cannot_run(name, backend):
    algorithm = algorithms.create(name, backend)
    field = dataclasses.fields(algorithm)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(algorithm, field, getattr(algorithm, field))
    with pytest.raises(TypeError):
        type(algorithm)(getattr(algorithm, field))
    assert pickle.loads(pickle.dumps(algorithm)) == algorithm


# Versions


OF_OUR_OWN = ["tvl1.cpu", "tvl1.torch", "tvl1.triton", "farneback.torch"]


@pytest.fixture
def versions(monkeypatch):
    """The version of each backend that has a program of its own, by its module."""
    from flowcache.algorithms.tvl1 import triton

    monkeypatch.setattr(triton, "triton_version", lambda: "3.4.0")

    def versions():
        modules = {m: importlib.import_module(f"flowcache.algorithms.{m}") for m in OF_OUR_OWN}
        return {name: module.create().version for name, module in modules.items()}

    return versions


@pytest.mark.parametrize("changed", OF_OUR_OWN)
def test_each_program_of_our_own_has_a_version_of_its_own(versions, monkeypatch, changed):
    before = versions()
    monkeypatch.setattr(f"flowcache.algorithms.{changed}._VERSION", 97)
    after = versions()
    assert after.pop(changed).startswith("97, ")
    del before[changed]
    assert after == before


@pytest.mark.parametrize("module", ["tvl1.torch", "farneback.torch"])
def test_the_version_names_the_library_that_computes(versions, module):
    # Without the device that it was built for, since the flow does not depend on that.
    assert versions()[module] == f"1, PyTorch {torch.__version__.partition('+')[0]}"
