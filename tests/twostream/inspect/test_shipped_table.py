import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.data.streams import STREAMS
from twostream.inspect import measure_models, shipped_table
from twostream.inspect.values import Input

ROOT = Path(shipped_table.__file__).parents[2]
ENTRIES = {(entry.name, entry.stream): entry for entry in shipped_table.read()}
EVERY = [(name, stream) for name in plugins.names(models) for stream in STREAMS]


def measured_now(name, stream):
    """None where the model cannot take this stream's clips, of which the file then has no entry."""
    try:
        return measure_models.measure_model(name, (), Input(stream=stream))
    except UserError:
        return None


# What the file says is so


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", ["tiny", "c3d", "late_fusion"])
def test_the_file_says_of_a_few_models_what_is_measured_now(name, stream):
    assert ENTRIES[name, stream] == measured_now(name, stream)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "stream"), EVERY)
def test_the_file_says_of_every_model_what_is_measured_now(name, stream):
    assert ENTRIES.get((name, stream)) == measured_now(name, stream)


@pytest.mark.parametrize("name", plugins.names(models))
def test_every_model_has_its_entries_with_its_card_and_its_standard_clips(name):
    found = {stream: entry for (model, stream), entry in ENTRIES.items() if model == name}
    assert found, "measure it: python -m twostream.inspect.shipped_table"
    card = plugins.module(models, name).CARD
    for stream, entry in found.items():
        assert entry.card == card
        assert entry.clip == Input(stream=stream).clip(card)
        assert entry.classes == Input().classes
        assert entry.streams == tuple(found)


def test_the_file_has_no_model_that_is_gone_and_none_twice():
    assert {name for name, _ in ENTRIES} <= set(plugins.names(models))
    assert len(shipped_table.read()) == len(ENTRIES)


# When it is asked


@pytest.mark.parametrize("given", [Input(), Input(stream="temporal"), Input(length=16, size=112)])
def test_the_standard_clip_is_recorded_also_where_it_is_spelt_out(given):
    assert shipped_table.recorded("c3d", given) == ENTRIES["c3d", given.stream]


@pytest.mark.parametrize("given", [Input(length=8), Input(size=64), Input(classes=5)])
def test_other_clips_and_classes_are_not_recorded(given):
    assert shipped_table.recorded("c3d", given) is None


def test_a_length_that_is_the_standard_of_one_stream_alone_is_not_recorded():
    # The entry says which streams a model can take, and nothing is known of 10 frames.
    assert shipped_table.recorded("tiny", Input(stream="temporal", length=10)) is None


def test_nothing_is_recorded_of_a_model_that_is_not_there():
    assert shipped_table.recorded("no_such_model", Input()) is None


def test_without_its_file_nothing_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_table, "FILE", tmp_path / "shipped_table.json")
    assert shipped_table.read.__wrapped__() == ()


@pytest.mark.parametrize(
    "call",
    [
        "show_models(*look_up_all((), (), Input()), Input())",
        "show_models(*look_up_all(('c3d', 'vivit'), (), Input(stream='temporal')), Input())",
        "models_as_plain(*look_up_all((), (), Input()))",
    ],
)
def test_what_is_recorded_is_shown_without_torch(call):
    code = (
        "import sys; from twostream.inspect.look_up import look_up_all, models_as_plain; "
        "from twostream.inspect.tables import show_models; from twostream.inspect.values import Input; "
        f"{call}; print('torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "False"


# How it is written


def test_what_is_written_is_read_again(tmp_path, monkeypatch):
    path = tmp_path / "shipped_table.json"
    shipped_table.write(shipped_table.read(), path)
    assert path.read_text(encoding="utf-8") == shipped_table.FILE.read_text(encoding="utf-8")
    monkeypatch.setattr(shipped_table, "FILE", path)
    assert shipped_table.read.__wrapped__() == shipped_table.read()


def test_the_file_has_one_entry_a_line():
    lines = shipped_table.FILE.read_text(encoding="utf-8").splitlines()[1:-1]
    assert len(lines) == len(ENTRIES)
    assert [json.loads(line.rstrip(","))["name"] for line in lines] == [name for name, _ in ENTRIES]


def test_the_file_stays_where_measuring_fails(tmp_path):
    def broken():
        yield ENTRIES["tiny", "spatial"]
        raise RuntimeError

    path = tmp_path / "shipped_table.json"
    path.write_text("before")
    with pytest.raises(RuntimeError):
        shipped_table.write(broken(), path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_every_model_and_stream_is_measured_but_those_that_cannot_be(monkeypatch, capsys):
    def measure_model(name, options, given):
        assert options == ()
        if (name, given.stream) == ("c3d", "temporal"):
            raise UserError("it sees colours alone")
        return replace(ENTRIES[name, given.stream], parameters=1234)

    monkeypatch.setattr(measure_models, "measure_model", measure_model)
    entries = list(shipped_table.measure_all())
    assert [(e.name, e.stream) for e in entries] == [e for e in EVERY if e != ("c3d", "temporal")]
    printed = capsys.readouterr().out
    assert "c3d, temporal: left out: it sees colours alone" in printed
    assert "c3d, spatial: 1,234 parameters" in printed
