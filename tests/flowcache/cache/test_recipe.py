import dataclasses
import json

import cv2
import numpy as np
import pytest

from flowcache import algorithms
from flowcache.cache.recipe import FORMAT_VERSION, Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError


def has_version(name, backend):
    """Not where what computes is not installed."""
    try:
        return bool(algorithms.create(name, backend).version)
    except UserError:
        return False


PAIRS = [
    (name, backend.name)
    for name in algorithms.names()
    for backend in algorithms.backends(name)
    if has_version(name, backend.name)
]
every_backend = pytest.mark.parametrize(("name", "backend"), PAIRS)


@every_backend
def test_a_recipe_records_every_option_and_the_version_and_rebuilds_the_algorithm(name, backend):
    made = Recipe.of(name, backend=backend)
    fields = {f.name.removesuffix("_") for f in dataclasses.fields(made.create_algorithm())}
    assert (made.algorithm, made.backend) == (name, backend)
    assert set(made.options) == fields
    assert made.algorithm_version == algorithms.create(name, backend).version
    assert made.create_algorithm() == algorithms.create(name, backend)


@every_backend
def test_a_recipe_of_a_made_algorithm_is_that_of_its_name(name, backend):
    made = algorithms.create(name, backend)
    assert Recipe.of(made, frame_step=2) == Recipe.of(name, backend=backend, frame_step=2)


@every_backend
def test_a_recipe_survives_json(name, backend):
    rest = {"frame_step": 3, "size": "340x256", "bound": 15.5, "jpeg_quality": 75}
    made = Recipe.of(name, backend=backend, **rest)
    text = made.to_json()
    again = Recipe.from_json(text)
    assert again == made
    assert again.to_json() == text
    assert again.differences(made) == []
    assert json.loads(text)["options"] == dict(made.options)
    assert json.loads(made.to_json(indent=2)) == json.loads(text)


def test_the_defaults_are_those_of_the_class():
    recipe = Recipe.of("dis")
    assert (recipe.backend, recipe.frame_step, recipe.size) == ("cpu", 1, "256")
    assert (recipe.bound, recipe.jpeg_quality) == (Recipe.bound, Recipe.jpeg_quality) == (20.0, 90)
    assert recipe.format_version == FORMAT_VERSION


@pytest.mark.parametrize(("bound", "step"), [(20.0, 20 / 127), (63.5, 0.5)])
def test_a_quantiser_step_that_is_not_given_makes_the_codes_8_bits_wide(bound, step):
    recipe = Recipe.of("dis", bound=bound)
    assert recipe.quantizer_step == step
    assert recipe.quantizer.levels == 127
    assert recipe.quantizer.dtype.name == "int8"
    assert recipe == Recipe.of("dis", bound=bound, quantizer_step=None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(64, "64"), ("64", "64"), ((340, 256), "340x256"), ([340, 256], "340x256")],
)
def test_a_size_may_be_given_as_a_number_two_numbers_or_text(given, kept):
    recipe = Recipe.of("dis", size=given)
    assert recipe.size == kept
    assert recipe == Recipe.of("dis", size=kept)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Zero:
    """An algorithm of one's own."""

    gain: object = 2.0
    version = "1"

    def __call__(self, gray):
        raise NotImplementedError


def test_an_algorithm_of_ones_own_is_recorded_by_its_class_and_its_options():
    recipe = Recipe.of(Zero(gain=3.0))
    assert recipe.algorithm == f"{Zero.__module__}.Zero"
    assert (recipe.backend, recipe.algorithm_version) == ("cpu", "1")
    assert recipe.options == {"gain": 3.0}
    assert Recipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(
        UserError, match=r"none of flowcache's algorithms: pass the algorithm itself"
    ):
        recipe.create_algorithm()


def test_an_option_is_recorded_as_it_is_read_again(tmp_path):
    recipe = Recipe.of(Zero(gain=(1, 2)))
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert FlowCache.create(tmp_path, recipe).recipe == recipe == Recipe.of(Zero(gain=[1, 2]))


def test_an_option_that_cannot_be_recorded_is_refused_in_one_sentence():
    with pytest.raises(
        UserError, match=r"options of .*Zero cannot be recorded .*ndarray.*: they must be"
    ) as caught:
        Recipe.of(Zero(gain=np.zeros(3)))
    assert caught.value.parameter == "algorithm"


def test_a_non_default_option_reaches_the_algorithm(recipe):
    made = recipe("tvl1", {"lambda": 0.3})
    assert made.options["lambda"] == 0.3
    assert made.create_algorithm().lambda_ == 0.3


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"bound": 15.0, "quantizer_step": 20 / 127}, "bound 20.0, not 15.0"),
        ({"size": "340x256"}, "size 256, not 340x256"),
        ({"frame_step": 2}, "frame step 1, not 2"),
        ({"quantizer_step": 0.25}, f"quantizer step {20 / 127}, not 0.25"),
        ({"jpeg_quality": 75}, "jpeg quality 90, not 75"),
        ({"algorithm": "dis"}, "algorithm farneback, not dis"),
        ({"options": {"winsize": 21}}, "winsize 13, not 21"),
    ],
)
def test_each_difference_is_named_with_both_values(recipe, change, phrase):
    assert recipe().differences(recipe(**change)) == [phrase]


def test_all_differences_are_named_at_once(recipe):
    options = {"winsize": 21, "levels": 2}
    other = recipe(bound=15.0, quantizer_step=20 / 127, frame_step=2, options=options)
    assert len(recipe().differences(other)) == 4


def test_the_backend_is_a_difference_of_its_own(recipe):
    phrase = "backend cpu, not torch"
    other = dataclasses.replace(recipe(), backend="torch")
    assert recipe().differences(other) == [phrase]
    assert (recipe().name, other.name) == ("farneback", "farneback on torch")


def test_another_version_of_the_algorithm_is_a_difference_and_is_refused(recipe):
    other = dataclasses.replace(recipe(), algorithm_version="OpenCV 1.2.3")
    (phrase,) = recipe().differences(other)
    assert "OpenCV 1.2.3" in phrase
    with pytest.raises(UserError, match=r"OpenCV 1\.2\.3 and this machine has OpenCV"):
        other.create_algorithm()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"frame_step": 0}, "a frame step of 0"),
        ({"frame_step": -1}, "a frame step of -1"),
        ({"jpeg_quality": 0}, "JPEG quality of 0"),
        ({"jpeg_quality": 101}, "JPEG quality of 101"),
        ({"size": "big"}, "'big' is no size"),
        ({"bound": 0.0}, "leave no code"),
        ({"quantizer_step": 30.0}, "leave no code"),
        ({"bound": 1e6, "quantizer_step": 1.0}, "more codes than 16 bits"),
        ({"bound": float("inf")}, "inf"),
        ({"bound": float("nan")}, "nan"),
        ({"quantizer_step": float("nan")}, "nan"),
        ({"backend": "abacus"}, "farneback has no backend 'abacus': choose from cpu, torch"),
        ({"algorithm": "raft"}, "there is no algorithm 'raft': choose from"),
        ({"options": {"speed": 1}}, "farneback has no option 'speed'"),
        ({"format_version": FORMAT_VERSION + 1}, "extract it again"),
    ],
)
def test_a_recipe_that_cannot_be_carried_out_is_refused_in_one_sentence(recipe, change, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        recipe(**change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "3", '{"algorithm": "dis"}', "{"])
def test_what_is_no_recipe_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"keys|Expecting|a dictionary"):
        Recipe.from_json(text)


def test_a_key_too_many_or_too_few_is_a_value_error(recipe):
    values = json.loads(recipe().to_json())
    for key in values:
        with pytest.raises(ValueError, match="has the keys"):
            Recipe.from_json(json.dumps({k: v for k, v in values.items() if k != key}))
    with pytest.raises(ValueError, match="has the keys"):
        Recipe.from_json(json.dumps(values | {"more": 1}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("frame_step", "one"),
        ("size", None),
        ("bound", None),
        ("options", 3),
        ("options", {"x": 1}),
        ("algorithm", ["dis"]),
        ("jpeg_quality", "90"),
    ],
)
def test_a_value_of_the_wrong_kind_is_no_crash(recipe, key, value):
    values = json.loads(recipe().to_json()) | {key: value}
    with pytest.raises((ValueError, UserError)):
        Recipe.from_json(json.dumps(values)).create_algorithm()


def test_a_recipe_prints_what_matters(recipe):
    text = str(recipe("dis", frame_step=2))
    for part in ("dis", cv2.__version__, "step 2", "256", "±20 px", "0.1575"):
        assert part in text
