"""`twostream predict`: files and folders, tables, timelines, and whatever may be wrong."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from called_commands import run, sentence, succeed
from made_videos import MJPEG_AVI, moving_scene, write_video

from flowcache.cache.store import FlowCache
from twostream.prediction.predict import Predictor
from twostream.runs.files import SCORES
from twostream.runs.views import file_of_views
from twostream.scoring.scores import Scores

pytestmark = pytest.mark.usefixtures("lasting_children")

VIDEO = "videos/still/v_still_g01_c01.avi"
MOVING = "videos/moving/v_moving_g01_c01.avi"


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_prediction_is_what_evaluate_says_of_the_video_in_the_cache(copy):
    # The same networks, clips and averages. A convolution rounds a little otherwise in another batch:
    # evaluate joins clips of several videos, and predict those of one.
    how = "--clips 3 --crops 3 --average softmax"
    for stream in ("spatial", "temporal"):
        succeed(f"evaluate --run runs/{stream} --jobs 0 --accelerator cpu {how}")
    read = json.loads(succeed(f"predict videos --json --top 2 {how}"))
    assert [one["video"] for one in read] == sorted(one["video"] for one in read)
    by_video = {Path(one["video"]).with_suffix("").as_posix(): one for one in read}
    assert set(by_video) == {f"videos/{name}" for name in FlowCache.open("cache").ids()}
    for stream in ("spatial", "temporal"):
        name = file_of_views(copy / "runs" / stream, SCORES, "3x3-softmax")
        scores = Scores.load(copy / "runs" / stream / name)
        assert (len(scores), scores.clips, scores.crops) == (2, 3, 3)
        for identifier, probabilities in zip(scores.ids, scores.softmax(), strict=True):
            told = {p["class"]: p["probability"] for p in by_video[f"videos/{identifier}"][stream]}
            assert [told[name] for name in scores.classes] == pytest.approx(
                probabilities.tolist(), abs=1e-6
            )


def test_a_folder_is_searched_and_what_fails_is_named_at_the_end(work, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    good = str(shutil.copy(VIDEO, tmp_path / "in" / "deep" / "good.avi"))
    cut = Path(shutil.copy(VIDEO, tmp_path / "in" / "cut.avi"))
    cut.write_bytes(cut.read_bytes()[:-2000])
    (tmp_path / "in" / "text.mp4").write_text("no video")
    (tmp_path / "in" / "notes.txt").write_text("this is not looked at")
    words = ["predict", str(tmp_path / "in"), str(tmp_path / "empty"), str(tmp_path / "absent.avi")]
    table = tmp_path / "out.csv"
    result = run([*words, "--clips", "2", "--csv", str(table)])
    assert result.exit_code == 1
    assert "deep/good.avi" in result.stdout
    failures = [line for line in result.stderr.splitlines() if "failed:" in line]
    for name, why in (
        ("empty", "holds no video"),
        ("cut.avi", ""),
        ("text.mp4", "not a readable video"),
        ("absent.avi", "is no file"),
    ):
        (line,) = (line for line in failures if name in line)
        assert why in line
    assert "notes.txt" not in result.output
    rows = rows_of(table)
    assert [(r["run"], r["rank"]) for r in rows if r["video"] == good] == [
        (name, rank) for name in ("spatial", "temporal", "fused") for rank in ("1", "2")
    ]
    assert {r["video"] for r in rows if r["error"]} == {
        str(tmp_path / name) for name in ("empty", "absent.avi", "in/cut.avi", "in/text.mp4")
    }
    read = json.loads(run([*words, "--clips", "2", "--json"]).stdout)
    assert {one["video"] for one in read if "error" in one} == {
        r["video"] for r in rows if r["error"]
    }


@pytest.mark.parametrize("words", [[], ["--timeline"]])
def test_a_name_that_is_no_utf8_can_be_printed_and_written(work, tmp_path, words):
    good, bad = (tmp_path / os.fsdecode(name) for name in (b"caf\xe9.avi", b"th\xe9.avi"))
    shutil.copy(VIDEO, good)
    bad.write_text("no video")
    table = tmp_path / "out.csv"
    result = run(["predict", str(good), str(bad), "--csv", str(table), *words])
    assert result.exit_code == 1
    assert r"caf\xe9.avi" in result.stdout.replace("\n", "")
    assert r"th\xe9.avi: not a readable video" in result.stderr
    assert {Path(row["video"]).name for row in rows_of(table)} == {r"caf\xe9.avi", r"th\xe9.avi"}
    read = json.loads(run(["predict", str(good), str(bad), "--json", *words]).stdout)
    assert [Path(one["video"]).name for one in read] == [r"caf\xe9.avi", r"th\xe9.avi"]


@pytest.fixture
def long(work, tmp_path):
    """A video that is still, moves, and is still again."""
    shown = [moving_scene(30, 48, 64, speed, 0.0, seed=5) for speed in (0.0, 3.0, 0.0)]
    frames = [one * light for one, light in zip(shown, (0.5, 1.0, 0.5), strict=True)]
    video = write_video(
        tmp_path / "long.avi", torch.cat([torch.from_numpy(f) for f in frames]).byte().numpy(),
        MJPEG_AVI,
    )  # fmt: skip
    return str(video)


def test_a_timeline_is_a_table_a_csv_and_json(long, tmp_path):
    words = ["predict", long, VIDEO, "--timeline", "--hop", "0.2", "--min-length", "0.3"]
    table = tmp_path / "segments.csv"
    printed = succeed([*words, "--csv", str(table)])
    assert "long.avi, fused" in printed.replace("\n", "")
    assert "0.00 s" in printed
    (one, other) = json.loads(succeed([*words, "--json"]))
    assert (one["video"], other["video"]) == (long, VIDEO)
    assert (one["hop"], one["min_length"], one["partial"]) == (0.2, 0.3, "")
    assert one["edges"][0] == 0
    assert one["edges"][-1] == pytest.approx(3.6)
    assert list(one["scores"]) == list(one["segments"]) == ["spatial", "temporal", "fused"]
    rows = [row for row in rows_of(table) if row["video"] == long]
    for name, segments in one["segments"].items():
        assert len(one["scores"][name]) == len(one["edges"]) - 1
        assert sum(one["scores"][name][3]) == pytest.approx(1, abs=1e-3)
        assert segments == [
            {
                "start": float(row["start"]),
                "end": float(row["end"]),
                "class": row["class"],
                "confidence": float(row["confidence"]),
            }
            for row in rows
            if row["run"] == name
        ]
    assert all(row["error"] == "" for row in rows)


def test_a_video_in_which_nothing_is_shown_has_a_row_of_its_own(work, tmp_path):
    table = tmp_path / "t.csv"
    succeed(["predict", VIDEO, "--timeline", "--threshold", "1", "--csv", str(table)])
    (row,) = rows_of(table)
    assert row.pop("video") == VIDEO
    assert set(row.values()) == {""}


def test_a_timeline_of_a_broken_video_is_told_and_marked(long, tmp_path):
    raw = Path(long).read_bytes()
    Path(long).write_bytes(raw[: int(0.7 * len(raw))])
    words = ["predict", long, VIDEO, "absent.mp4", "--timeline"]
    result = run([*words, "--csv", str(tmp_path / "t.csv")])
    assert result.exit_code == 1
    assert "long.avi, fused" in result.stdout.replace("\n", "")
    lines = result.stderr.splitlines()
    assert [line.split()[0] for line in lines] == ["partial:", "failed:"]
    assert "long.avi" in lines[0]
    rows = rows_of(tmp_path / "t.csv")
    assert all("long.avi" in row["error"] for row in rows if row["video"] == long)
    assert [row["video"] for row in rows if not row["class"]] == ["absent.mp4"]
    assert 1 < max(float(row["end"]) for row in rows if row["video"] == long) < 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"{VIDEO} --hop 1", "--timeline"),
        (f"{VIDEO} --timeline --clips 3", "--clips"),
        (f"{VIDEO} --timeline --top 3", "--top"),
        (f"{VIDEO} --timeline --hop 0", "--hop"),
        (f"{VIDEO} --timeline --threshold 2", "--threshold"),
        (f"{VIDEO} --csv nowhere/out.csv", "--csv"),
        (f"{VIDEO} --run runs/absent", "train that stream first"),
        (f"{VIDEO} --run videos", "train that stream first"),
        (f"{VIDEO} --rule nothing", "--rule"),
        (f"{VIDEO} --run runs/spatial --run runs/fused", "one of the runs is called fused"),
        (f"{VIDEO} --run runs/temporal --rule log_linear", "not fused: leave it out"),
        (f"{VIDEO} --run runs/temporal --weights fit", "not fused: leave it out"),
    ],
)
def test_words_that_make_no_sense_are_refused_before_anything_is_computed(work, words, said):
    assert said in sentence(f"predict {words}")


def test_what_was_predicted_before_an_interruption_is_in_the_table(work, tmp_path, monkeypatch):
    whole = Predictor.__call__

    def interrupted(self, video, **how):
        if "moving" in str(video):
            raise KeyboardInterrupt
        return whole(self, video, **how)

    monkeypatch.setattr(Predictor, "__call__", interrupted)
    table = tmp_path / "t.csv"
    result = run(["predict", VIDEO, "absent.mp4", MOVING, "--clips", "1", "--csv", str(table)])
    assert result.exit_code == 1
    found = {(row["video"], row["run"]) for row in rows_of(table)}
    runs = {(VIDEO, name) for name in ("spatial", "temporal", "fused")}
    assert found == runs | {("absent.mp4", "")}


def test_runs_that_know_other_classes_or_hold_code_are_refused(copy, tmp_path):
    path = copy / "runs" / "temporal" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    content["twostream"]["classes"] = ["moving", "running"]
    torch.save(content, path)
    assert "different classes" in sentence(f"predict {VIDEO}")

    mark = tmp_path / "executed"
    torch.save({**content, "code": Executed(str(mark))}, path)
    said = sentence(f"predict {VIDEO}")
    assert "best.ckpt" in said
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the file does what it was made for
    assert mark.exists()


class Executed:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_recipe_that_differs_between_runs_is_followed_and_one_that_is_not_here_is_told(copy):
    path = copy / "runs" / "temporal" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    before = json.loads(succeed(f"predict {MOVING} --json --clips 2"))
    content["twostream"]["recipe"]["size"] = "24"
    torch.save(content, path)
    after = json.loads(succeed(f"predict {MOVING} --json --clips 2"))
    assert after[0]["spatial"] == before[0]["spatial"]
    assert after[0]["temporal"] != before[0]["temporal"]
    assert "fused" in succeed(f"predict {MOVING} --timeline")
    content["twostream"]["recipe"]["algorithm_version"] = "another version"
    torch.save(content, path)
    for words in ("", " --timeline"):
        result = run(f"predict {MOVING}{words}")
        assert result.exit_code == 1
        assert "asks for" in result.stderr
        assert "another version" in result.stderr
