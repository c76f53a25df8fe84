import dataclasses
import json

import cv2
import pytest

from flowcache import algorithms, plugins
from flowcache.cache.recipe import FORMAT_VERSION, Recipe
from flowcache.errors import UserError


def has_version(name):
    """Not where what computes is not installed."""
    try:
        return bool(plugins.create(algorithms, name).version)
    except UserError:
        return False


NAMES = [name for name in plugins.names(algorithms) if has_version(name)]
every_algorithm = pytest.mark.parametrize("name", NAMES)


@every_algorithm
def test_a_recipe_records_every_option_and_the_version_and_rebuilds_the_algorithm(recipe, name):
    made = recipe(name)
    fields = {f.name.removesuffix("_") for f in dataclasses.fields(made.create_algorithm())}
    assert set(made.options) == fields
    assert made.algorithm_version == plugins.create(algorithms, name).version
    assert made.create_algorithm() == plugins.create(algorithms, name)


@every_algorithm
def test_a_recipe_survives_json(recipe, name):
    made = recipe(name, frame_step=3, size="340x256", bound=15.5, jpeg_quality=75)
    text = made.to_json()
    again = Recipe.from_json(text)
    assert again == made
    assert again.to_json() == text
    assert again.differences(made) == []
    assert json.loads(text)["options"] == dict(made.options)
    assert json.loads(made.to_json(indent=2)) == json.loads(text)


def test_a_non_default_option_reaches_the_algorithm(recipe):
    made = recipe("tvl1", {"lambda": 0.3})
    assert made.options["lambda"] == 0.3
    assert made.create_algorithm().lambda_ == 0.3


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"bound": 15.0}, "bound 20.0, not 15.0"),
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
    other = recipe(bound=15.0, frame_step=2, options={"winsize": 21, "levels": 2})
    assert len(recipe().differences(other)) == 4


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
        ({"bound": 1e6}, "more codes than 16 bits"),
        ({"bound": float("inf")}, "inf"),
        ({"bound": float("nan")}, "nan"),
        ({"quantizer_step": float("nan")}, "nan"),
        ({"algorithm": "raft"}, "algorithms has no 'raft': choose from"),
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
    with pytest.raises(ValueError, match=r"keys|Expecting"):
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
        ("size", 256),
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
