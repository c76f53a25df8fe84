import csv
import json
import shutil
from pathlib import Path

import pytest
from called_commands import run, sentence, succeed


def parts_of(folder):
    with (folder / "runs" / "spatial" / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        part: [row["video"] for row in rows if row["part"] == part] for part in ("train", "test")
    }


@pytest.fixture
def leaky(copy):
    """The folder in which a test video shows what a training video shows, and the names of the two."""
    parts = parts_of(copy)
    trained, tested = parts["train"][0], parts["test"][0]
    entries = copy / "cache"
    shutil.copy(entries / f"{trained}.h5", entries / f"{tested}.h5")
    return trained, tested


def test_a_test_video_that_looks_like_a_training_video_is_named_and_the_status_is_1(leaky):
    result = run("cache duplicates --run runs/spatial")
    assert result.exit_code == 1
    trained, tested = leaky
    (line,) = [line for line in result.output.splitlines() if tested in line and trained in line]
    assert f"{trained} (train)" in line
    assert f"{tested} (test)" in line
    assert "0.0" in line


def test_the_pairs_as_json(leaky):
    result = run("-q cache duplicates --run runs/spatial --json")
    assert result.exit_code == 1
    told = json.loads(result.output)
    assert told["videos"] == 8
    pairs = [{side["video"] for side in pair["videos"]} for pair in told["across_the_split"]]
    assert set(leaky) in pairs


def test_the_status_is_0_where_no_pair_is_on_both_sides(work):
    for split in ("--run runs/spatial", "--seed 3 --test-share 0.5"):
        assert "8 videos: 0 pairs across the split, 0 pairs" in succeed(f"cache duplicates {split}")


def test_a_pair_is_kept_together_once_its_group_is_named(leaky):
    videos = sorted(
        path.relative_to("cache").with_suffix("") for path in Path("cache").rglob("*.h5")
    )
    rows = [f"{v},{'one' if str(v) in leaky else v}" for v in videos]
    Path("groups.csv").write_text("\n".join(["video,group", *rows]))
    told = json.loads(succeed("-q cache duplicates --groups groups.csv --json"))
    assert told["across_the_split"] == []
    assert told["of_one_group"] == 1


def test_a_run_and_another_split_are_not_taken_together(work):
    said = sentence("cache duplicates --run runs/spatial --test-share 0.4")
    assert "leave out test share" in said
    assert "--test-share" in said


def test_a_folder_without_a_run_is_refused(work):
    assert "split.csv does not exist" in sentence("cache duplicates --run videos")
