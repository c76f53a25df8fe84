import json

import pytest
from called_commands import SMALL, losses_of, run, sentence, succeed

TOML = """
model = "tiny"
crop = 32
epochs = 1
batch-size = 3
learning_rate = 0.002
scales = [1.0, 0.875]
flip = false
jobs = 0
clips = 2
accelerator = "cpu"

[options]
width = 8
dropout = 0.1
"""


def record(folder):
    return json.loads((folder / "run.json").read_text())["options"]


def test_options_come_from_a_toml_file_with_dashes_or_without(work, tmp_path):
    (tmp_path / "run.toml").write_text(TOML)
    folder = tmp_path / "r"
    succeed(f"train --stream spatial --config {tmp_path / 'run.toml'} --run {folder}")
    told = record(folder)
    assert (told["stream"], told["model"], told["jobs"], told["clips"]) == ("spatial", "tiny", 0, 2)
    assert told["options"] == {"width": 8, "dropout": 0.1}
    assert told["schedule"]["batch_size"] == 3
    assert told["schedule"]["learning_rate"] == 0.002
    assert (told["clip"]["crop"], told["clip"]["flip"]) == (32, False)
    assert told["clip"]["scales"] == [1.0, 0.875]
    assert told["trainer"]["accelerator"] == "cpu"
    # What stands in neither has its default.
    assert told["schedule"]["weight_decay"] == 0.05
    assert told["clip"]["subtract_mean"] is True


def test_the_command_line_wins(work, tmp_path):
    (tmp_path / "run.toml").write_text(f"{TOML}\n[split]\nseed = 3\ntest_share = 0.4\nstride = 2")
    words = "--stream temporal --epochs 2 --option width=4 --flip --seed 1"
    succeed(f"train {words} --config {tmp_path / 'run.toml'} --run {tmp_path / 'r'}")
    told = record(tmp_path / "r")
    assert told["schedule"]["epochs"] == 2
    assert told["options"] == {"width": 4}
    assert told["clip"]["flip"] is True
    assert (told["seed"], told["split"]["test_share"], told["clip"]["stride"]) == (1, 0.4, 2)


@pytest.mark.parametrize("where", ["before", "after"])
def test_it_may_stand_before_or_after_what_wins(where, work, tmp_path):
    (tmp_path / "run.toml").write_text(f'stream = "spatial"\n{TOML}')
    config, own = f"--config {tmp_path / 'run.toml'}", "--stream temporal --clips 3"
    words = f"{config} {own}" if where == "before" else f"{own} {config}"
    succeed(f"train {words} --run {tmp_path / 'r'}")
    assert record(tmp_path / "r")["stream"] == "temporal"
    assert record(tmp_path / "r")["clips"] == 3


def test_the_record_of_a_run_repeats_it(work, tmp_path):
    extra = (
        "--option width=6 --option dropout=0.3 --seed 4 --scales 1,0.75 --no-flip --optimizer sgd"
    )
    first, again = tmp_path / "first", tmp_path / "again"
    succeed(f"train --stream temporal {SMALL} {extra} --label-smoothing 0.1 --run {first}")
    succeed(f"train --config {first / 'run.json'} --run {again}")
    assert record(again) == record(first)
    assert losses_of(again) == losses_of(first)
    assert (again / "split.csv").read_bytes() == (first / "split.csv").read_bytes()
    succeed(f"train --config {first / 'run.json'} --seed 5 --run {tmp_path / 'other'}")
    assert record(tmp_path / "other") == record(first) | {"seed": 5}
    assert losses_of(tmp_path / "other") != losses_of(first)


def test_another_stream_is_not_told_what_the_models_recipe_was_for_the_first(work, tmp_path):
    small = "--init none --crop 32 --steps 1 --jobs 0 --clips 1 --accelerator cpu --seed 3"
    first, other = tmp_path / "first", tmp_path / "other"
    succeed(f"train --stream temporal {small} --run {first}")
    assert record(first)["schedule"]["segments"] > 1  # which was left to the model
    succeed(f"train --config {first / 'run.json'} --stream spatial --run {other}")
    told = record(other)["schedule"] | record(other)["clip"]
    assert (told["segments"], told["keep"]) == (1, "best")
    # What the user said stays.
    assert (record(other)["seed"], told["steps"], told["crop"]) == (3, 1, 32)


def test_the_record_of_a_pretraining_repeats_it(work, tmp_path):
    small = (
        "--stream temporal --option patch=8 --option width=12 --option depth=1 --option heads=2 "
        "--length 4 --crop 16 --epochs 1 --jobs 0 --accelerator cpu"
    )
    succeed(f"pretrain {small} --run {tmp_path / 'first'}")
    succeed(f"pretrain --config {tmp_path / 'first' / 'run.json'} --run {tmp_path / 'again'}")
    assert record(tmp_path / "again") == record(tmp_path / "first")
    assert losses_of(tmp_path / "again") == losses_of(tmp_path / "first")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("c.toml", 'epoch = 3\nmodel = "tiny"', "names 'epoch', which is no option of train"),
        ("c.toml", "[schedule]\nepochs = 2\nspeed = 3", "names 'speed'"),
        ("c.toml", "epochs = ", "cannot be read as TOML"),
        ("c.toml", "epochs = 0", "epochs 0 must be at least 1"),
        ("c.toml", 'epochs = "many"', "--epochs"),
        ("c.toml", 'optimizer = "adam"', "'adam' is not one of"),
        ("c.toml", "scales = 0.5", "write numbers as"),
        ("c.toml", 'scales = ["half"]', "write numbers as"),
        ("c.toml", "options = 3", "cannot be read"),
        ("c.toml", "[options]\nnonsense = 1", "no option 'nonsense'"),
        ("c.json", "{}", "cannot be read as TOML, or as the run.json of a run"),
        ("c.json", "[]", "cannot be read"),
        ("c.json", '{"options": 3}', "cannot be read"),
        ("c.json", '{"options": {"clip": {"size": 32}}}', "names 'size'"),
    ],
)
def test_what_it_cannot_say_gets_one_sentence(name, text, said, work, tmp_path):
    (tmp_path / name).write_text(text)
    words = f"train --stream spatial --config {tmp_path / name} --run {tmp_path / 'r'}"
    assert said in sentence(words)
    assert not (tmp_path / "r").exists()


def test_a_run_is_not_resumed_with_other_options_of_a_file(copy, tmp_path):
    (tmp_path / "run.toml").write_text("epochs = 7")
    result = run(f"train --stream temporal --resume --config {tmp_path / 'run.toml'}")
    assert result.exit_code == 1
    assert "epochs" in result.output
