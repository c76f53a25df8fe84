import json
import shutil

import pytest
import torch

from flowcache.errors import UserError
from twostream.runs.files import BEST
from twostream.runs.model_recipe import standard
from twostream.runs.run_json import recorded, refuse_taken, start_run
from twostream.runs.training_options import SplitOptions, TrainOptions


def test_a_run_records_its_options_and_versions(finished_runs, options):
    told = standard(options(schedule={"epochs": 2}))
    assert recorded(TrainOptions, finished_runs / "temporal") == told
    versions = json.loads((finished_runs / "temporal" / "run.json").read_text())["versions"]
    assert versions["torch"] in torch.__version__
    assert {"twostream", "python", "lightning", "numpy", "h5py", "av"} <= set(versions)


def test_all_options_survive_the_record(tmp_path, options):
    plan = options(
        "temporal",
        clip={"scales": (1.0, 0.875), "stride": 3, "subtract_mean": False},
        schedule={"partial_bn": True, "optimizer": "sgd"},
        split=SplitOptions(groups="g.csv", train_list="l.txt", test_share=0.4, skip_missing=True),
        init="weights.pt",
        label_smoothing=0.1,
        crops=10,
        average="softmax",
        trainer={"devices": 2, "strategy": "ddp", "precision": "bf16-mixed"},
    )
    start_run(tmp_path, plan)
    assert recorded(TrainOptions, tmp_path) == plan


def test_a_run_that_recorded_no_average_averaged_logits(tmp_path, options):
    start_run(tmp_path, options())
    record = json.loads((tmp_path / "run.json").read_text())
    del record["options"]["average"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert recorded(TrainOptions, tmp_path) == options(average="logits")


def test_a_trained_run_is_not_replaced_without_a_word(finished_runs):
    before = (finished_runs / "temporal" / BEST).read_bytes()
    with pytest.raises(UserError, match=r"resume it, overwrite it"):
        refuse_taken(finished_runs / "temporal", overwrite=False)
    assert (finished_runs / "temporal" / BEST).read_bytes() == before


def test_a_replaced_run_leaves_nothing_of_the_one_before(finished_runs, tmp_path, options):
    # Or, where the new run is stopped, its folder would hold the scores of another split.
    folder = tmp_path / "temporal"
    shutil.copytree(finished_runs / "temporal", folder)
    start_run(folder, options(seed=9))
    assert [path.name for path in folder.iterdir()] == ["run.json"]
    assert recorded(TrainOptions, folder).seed == 9


def test_a_run_that_was_stopped_before_its_first_epoch_may_be_started_again(tmp_path, options):
    start_run(tmp_path, options())
    start_run(tmp_path, options(seed=1))
    assert recorded(TrainOptions, tmp_path).seed == 1


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="no run to resume"):
        recorded(TrainOptions, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"options": {"stream": "temporal"}}', '{"options": 3}']
)
def test_a_record_of_something_else_is_refused_by_its_name(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        recorded(TrainOptions, tmp_path)


def test_a_record_of_before_there_were_recipes_means_what_it_meant_then(tmp_path, options):
    start_run(tmp_path, options())
    record = json.loads((tmp_path / "run.json").read_text())
    old = record["options"]
    old["init"] = None
    old["clip"] = {name: old["clip"][name] for name in ("length", "crop", "scales", "flip")}
    kept = ("epochs", "batch_size", "optimizer", "learning_rate", "warmup", "weight_decay")
    old["schedule"] = {name: old["schedule"][name] for name in kept}
    (tmp_path / "run.json").write_text(json.dumps(record))
    told = recorded(TrainOptions, tmp_path)
    assert (told.init, told.clip.resize, told.schedule.clips_an_epoch) == ("none", 0, 1)
    schedule = told.schedule.filled({})
    assert (schedule.segments, schedule.ema, schedule.body_rate) == (1, 0.0, 1.0)
