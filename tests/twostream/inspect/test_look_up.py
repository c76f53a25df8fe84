import json
from dataclasses import replace

import pytest

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.inspect import look_up as rows
from twostream.inspect import shipped_table
from twostream.inspect.look_up import look_up, look_up_all, models_as_plain
from twostream.inspect.values import Entry, Input


@pytest.fixture
def believed(monkeypatch):
    """The file says that the tiny model has one parameter, which no measurement says."""
    entries = [
        replace(entry, parameters=1) for entry in shipped_table.read() if entry.name == "tiny"
    ]
    monkeypatch.setattr(shipped_table, "read", lambda: entries)


@pytest.mark.usefixtures("believed")
def test_what_is_recorded_is_not_measured():
    assert look_up("tiny", (), Input()).parameters == 1
    assert look_up("tiny", (), Input(stream="temporal")).parameters == 1


@pytest.mark.usefixtures("believed")
@pytest.mark.parametrize(
    ("options", "given"),
    [
        (("width=16",), Input()),
        ((), Input(classes=10)),
        ((), Input(length=4)),
        ((), Input(size=48)),
    ],
)
def test_what_is_not_recorded_is_measured(options, given):
    assert look_up("tiny", options, given).parameters > 10_000


@pytest.mark.usefixtures("believed")
def test_a_model_without_a_record_is_measured():
    assert look_up("early_fusion", (), Input()).parameters == 11_466_384


def test_a_name_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="choose from") as caught:
        look_up_all(["no_such_model"], (), Input())
    assert caught.value.parameter == "model"


def test_options_of_no_model_are_refused():
    with pytest.raises(UserError, match="name the model") as caught:
        look_up_all((), ("width=8",), Input())
    assert caught.value.parameter == "options"


# As plain data


def test_the_plain_rows_of_all_models_pass_through_json_and_are_their_entries():
    plain = models_as_plain(*look_up_all((), (), Input()))
    assert [row["name"] for row in plain] == plugins.names(models)
    assert json.loads(json.dumps(plain)) == plain
    assert [Entry.from_plain(row) for row in plain] == look_up_all((), (), Input())[0]


def test_a_plain_row_has_these_fields():
    (row,) = models_as_plain(*look_up_all(["mc3"], (), Input(stream="temporal")))
    assert row.pop("card")["year"] == 2018
    assert row == {
        "name": "mc3",
        "stream": "temporal",
        "classes": 400,
        "clip": [16, 2, 112, 112],
        "parameters": 11_686_032,
        "macs": row["macs"],
        "field_of_unit": 11,
        "field_of_scores": 16,
        "streams": ["spatial", "temporal", "bidirectional", "difference"],
    }


def test_a_plain_row_of_a_model_with_other_options_is_measured():
    (row,) = models_as_plain(*look_up_all(["tiny"], ("width=8",), Input()))
    assert row["parameters"] < 86_688


def test_of_all_models_those_that_cannot_take_the_clip_are_errors_at_the_end(monkeypatch):
    known = look_up("tiny", (), Input())

    def only_tiny(name, options, given):
        if name != "tiny":
            raise UserError("it cannot take that")
        return known

    monkeypatch.setattr(rows, "look_up", only_tiny)
    first, *others = models_as_plain(*look_up_all((), (), Input()))
    assert first == known.as_plain()
    assert others == [
        {"name": name, "error": "it cannot take that"}
        for name in plugins.names(models)
        if name != "tiny"
    ]
    with pytest.raises(UserError):
        models_as_plain(*look_up_all(["c3d"], (), Input()))


def test_each_model_is_told_as_its_turn_comes():
    told = []
    look_up_all(["tiny", "mc3"], (), Input(), on_progress=lambda *counts: told.append(counts))
    assert told == [(0, 2), (1, 2)]
