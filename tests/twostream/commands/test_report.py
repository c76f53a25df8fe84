import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from called_commands import run, sentence, succeed
from made_pages import leave_out_plots

from twostream.runs import files
from twostream.scoring.scores import Scores


def test_a_report_of_the_usual_runs_says_where_it_is(work, tmp_path):
    path = tmp_path / "page.html"
    output = succeed(f"report -o {path}")
    assert str(path) in output
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert 'id="weight"' in text
    assert not (work / "report.html").exists()


def test_frames_and_flow_come_from_the_cache(work, tmp_path, monkeypatch):
    """Of a single run whose every video is wrong, so that there is something to show."""
    leave_out_plots(monkeypatch)
    monkeypatch.setattr(Scores, "right", lambda one: one.labelled().labels < 0)
    path = tmp_path / "page.html"
    succeed(f"report runs/temporal -o {path}")
    videos = len(Scores.load(Path("runs/temporal/scores.npz")))
    assert path.read_text().count("data:image/webp") == 6 * videos
    succeed(f"report runs/temporal -o {path} --strips 1")
    assert path.read_text().count("data:image/webp") == 6
    succeed(f"report runs/temporal -o {path} --strips 1 --explain")
    assert path.read_text().count("data:image/webp") > 6
    assert "temporal: what spoke for" in path.read_text()
    output = succeed(f"report runs/temporal -o {path} --cache nowhere")
    assert "nowhere is no flow cache, so no frames and no flow are shown" in output
    assert path.read_text().count("data:image/webp") == 0
    assert "without frames and flow</summary>" in path.read_text()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("report nowhere", f"nowhere/{files.SCORES} does not exist"),
        ("report cache", f"cache/{files.SCORES} does not exist"),
        ("report runs/spatial runs/temporal -o runs", "runs is a folder"),
        ("report runs/spatial videos/../runs/spatial", "folders of one name"),
        ("report --weights 2", "--weights"),
        ("report --rule log_linear --weights 0.5", "--weights"),
        ("report --to rerun --cache nowhere -o a.rrd", "--cache"),
        ("report --to rerun -o runs", "runs is a folder"),
        ("report --to fiftyone", "--videos"),
        ("report --videos videos", "html has no use for it: leave it out (--videos)"),
        ("report --to rerun --explain", "(--explain)"),
        ("report --to fiftyone --videos videos --strips 3", "(--strips)"),
        ("report -o runs/spatial/run.json/page.html", "cannot be written"),
        ("report --views 3x10", "scores-3x10.npz does not exist"),
    ],
)
def test_what_cannot_be_reported_on_is_one_sentence(words, part, work):
    assert part in sentence(words)
    assert not Path("report.html").exists()


def test_runs_are_called_by_their_folders_from_within_them(work, monkeypatch, tmp_path):
    monkeypatch.chdir(work / "runs" / "spatial")
    page, fused = tmp_path / "page.html", tmp_path / "fused"
    succeed(f"report . ../temporal --cache nowhere -o {page}")
    assert "<h1>spatial, temporal and their fusion</h1>" in page.read_text()
    succeed(f"fuse . ../temporal --weights 0.25 --run {fused}")
    assert json.loads((fused / files.METRICS).read_text())["runs"] == [
        {"run": ".", "share": 0.75},
        {"run": "../temporal", "share": 0.25},
    ]


def test_runs_of_other_videos_or_classes_are_not_put_on_one_page(work, tmp_path):
    own = Scores.load(Path("runs/spatial/scores.npz"))
    others = replace(own, ids=tuple(f"{one} again" for one in own.ids))
    classes = replace(own, classes=own.classes[::-1])
    for name, one in (("score different videos", others), ("have different classes", classes)):
        one.save(tmp_path / "other" / files.SCORES)
        assert name in sentence(f"report runs/spatial {tmp_path}/other -o {tmp_path}/p.html")
    assert not (tmp_path / "p.html").exists()


def test_a_word_that_is_not_known_ends_with_2(work):
    assert run("report --strips -1").exit_code == 2
    assert re.search("RUN", run("report -h").output)
