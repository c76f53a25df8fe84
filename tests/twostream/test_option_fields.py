from collections import Counter
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcache.errors import UserError
from twostream.option_fields import check, choices, declared, from_flat, option, to_flat, value_type
from twostream.runs.training_options import PretrainOptions, RunOptions, TrainOptions


@dataclass(frozen=True, kw_only=True)
class Inner:
    share: float = option(0.5, help="A share.", at_least=0, below=1)
    several: tuple[float, ...] = option((), help="Some.", above=0, at_most=2)

    def __post_init__(self):
        check(self)


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: Literal["left", "right"] = option(help="A side.")
    count: int | None = option(None, help="A number.", at_least=1, shown_default="all")
    crops: Literal[1, 10] = option(1, help="Views.")
    inner: Inner = field(default_factory=Inner)
    undeclared: int = 3

    def __post_init__(self):
        check(self)


def test_the_options_are_those_of_all_dataclasses_in_their_order():
    assert [each.name for each in declared(Outer)] == ["name", "count", "crops", "share", "several"]


def test_names_and_values_build_what_they_are_the_flat_form_of():
    given = {"name": "left", "share": 0.25, "count": 4}
    built = from_flat(Outer, given)
    assert built == Outer(name="left", count=4, inner=Inner(share=0.25))
    assert to_flat(built) == given | {"crops": 1, "several": (), "undeclared": 3}


@given(
    st.fixed_dictionaries(
        {"stream": st.sampled_from(["spatial", "temporal", "difference"])},
        optional={
            "epochs": st.integers(1, 99),
            "learning_rate": st.floats(1e-9, 1),
            "length": st.integers(1, 64) | st.none(),
            "scales": st.lists(st.floats(0.1, 1), max_size=3).map(tuple),
            "flip": st.booleans(),
            "groups": st.text(max_size=5) | st.none(),
            "test_share": st.floats(0.01, 0.99),
            "devices": st.integers(1, 8) | st.just("auto"),
            "crops": st.sampled_from([1, 10]),
            "init": st.text(max_size=5),
        },
    )
)
def test_every_option_of_a_training_survives_there_and_back(told):
    options = from_flat(TrainOptions, told)
    flat = to_flat(options)
    assert told.items() <= flat.items()
    again = from_flat(TrainOptions, {n: v for n, v in flat.items() if n != "options"})
    assert again == options


def test_what_is_missing_or_unknown_is_named():
    with pytest.raises(UserError, match="name is missing") as caught:
        from_flat(Outer, {})
    assert caught.value.parameter == "name"
    with pytest.raises(UserError, match=r"no option 'shares'.*name, count, crops, share, several"):
        from_flat(Outer, {"name": "left", "shares": 1})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"share": -0.1}, "the share -0.1 must be at least 0 and below 1"),
        ({"share": 1}, "the share 1 must be at least 0 and below 1"),
        ({"share": float("nan")}, "the share nan must be"),
        ({"several": (1, 0)}, "must be above 0 and at most 2"),
        ({"several": (2.5,)}, "must be above 0 and at most 2"),
        ({"count": 0}, "the count 0 must be at least 1"),
        ({"name": "up"}, "the name 'up' is none of left, right"),
        ({"crops": 5}, "the crops 5 is none of 1, 10"),
    ],
    ids=str,
)
def test_limits_and_choices_hold_and_the_option_is_named(values, words):
    with pytest.raises(UserError) as caught:
        from_flat(Outer, {"name": "left"} | values)
    assert words in str(caught.value)
    assert caught.value.parameter in values


@pytest.mark.parametrize(
    "values",
    [{"share": 0}, {"share": 0.999}, {"several": (2, 0.001)}, {"several": ()}, {"count": 1}],
    ids=str,
)
def test_what_lies_on_a_limit_that_is_included_is_taken(values):
    flat = to_flat(from_flat(Outer, {"name": "right"} | values))
    assert flat | values == flat


def test_types_and_choices_are_read_from_the_declaration():
    by_name = {each.name: each for each in declared(Outer)}
    assert value_type(by_name["count"]) is int
    assert choices(by_name["name"]) == ("left", "right")
    assert choices(by_name["crops"]) == (1, 10)
    assert choices(by_name["share"]) == ()


def names(kind):
    for each in fields(kind):
        if is_dataclass(each.type):
            yield from names(each.type)
        else:
            yield each.name


@pytest.mark.parametrize("kind", [RunOptions, PretrainOptions, TrainOptions])
def test_each_option_of_a_run_is_declared_once_and_has_its_sentence(kind):
    count = Counter(names(kind))
    assert [name for name, often in count.items() if often > 1] == []
    told = {each.name: each for each in declared(kind)}
    assert set(count) - set(told) == {"options"}  # those of the model
    for name, each in told.items():
        assert each.metadata["help"].endswith("."), name


@pytest.mark.parametrize("kind", [PretrainOptions, TrainOptions])
def test_every_default_lies_within_its_limits(kind):
    assert from_flat(kind, {"stream": "spatial"}) == kind(stream="spatial")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epochs": "3"}, "the epochs '3' must be a whole number"),
        ({"epochs": 2.5}, "the epochs 2.5 must be a whole number"),
        ({"epochs": True}, "the epochs True must be a whole number"),
        ({"learning_rate": "high"}, "the learning rate 'high' must be a number"),
        ({"flip": "no"}, "the flip 'no' must be true or false"),
        ({"scales": 0.5}, "the scales 0.5 must be a list of numbers"),
        ({"scales": ["half"]}, "must be a list of numbers"),
        ({"model": 3.5}, "the model 3.5 must be text"),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_refused(values, words):
    with pytest.raises(UserError, match=words):
        from_flat(TrainOptions, {"stream": "spatial", **values})


def test_a_list_of_numbers_is_taken_for_a_tuple_as_a_notebook_and_a_file_write_it():
    assert from_flat(Outer, {"name": "left", "several": [1, 0.5]}).inner.several == (1, 0.5)
