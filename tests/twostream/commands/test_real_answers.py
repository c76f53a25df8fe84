"""Every command that answers, on real videos of two sets: what they say of the same videos agrees."""

import csv
import json

import cv2
import pytest
from called_commands import SMALL, run, sentence, succeed

from flowcache.video.decode import Video

pytestmark = pytest.mark.slow

SETS = {
    "ucf101": {"HorseRace": "v_HorseRace_g*_c01.avi", "PlayingPiano": "v_PlayingPiano_g*_c01.avi"},
    "fights": {"fight": "*", "noFight": "*"},
}
OF_A_CLASS = 6
BOTH = "--run runs/spatial --run runs/temporal"


@pytest.fixture(scope="module")
def sets(data, tmp_path_factory):
    """A folder for each set, in which both streams were trained on a few of its videos."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, classes in SETS.items():
            folder = folders[name] = tmp_path_factory.mktemp(name)
            for label, pattern in classes.items():
                (folder / "videos" / label).mkdir(parents=True)
                found = sorted((data / name / "videos" / label).glob(pattern))[:OF_A_CLASS]
                assert len(found) == OF_A_CLASS
                for video in found:
                    (folder / "videos" / label / video.name).symlink_to(video)
            patch.chdir(folder)
            succeed("extract-flow videos --size 64 --algorithm dis --jobs 1")
            for stream in ("spatial", "temporal"):
                succeed(f"train --stream {stream} {SMALL} --length 4")
    return folders


@pytest.fixture(params=sorted(SETS))
def folder(request, sets, monkeypatch):
    monkeypatch.chdir(sets[request.param])
    return sets[request.param]


def predicted(words):
    """The probability of each class by the name of each run, for each video."""
    found = json.loads(run(f"predict {words} --json").stdout)
    return {
        one["video"]: {
            name: {each["class"]: each["probability"] for each in best}
            for name, best in one.items()
            if name not in ("video", "error")
        }
        for one in found
    }


def test_a_folder_is_predicted_and_what_is_broken_in_it_is_named(folder, data):
    (folder / "new").mkdir()
    for name in ("bad_video.mp4", "nasa_13013_rotated.mp4"):
        (folder / "new" / name).symlink_to(data / "odd" / name)
    result = run(f"predict new {BOTH} --csv new.csv --clips 2")
    assert result.exit_code == 1
    assert "bad_video.mp4: not a readable video" in " ".join(result.output.split())
    with (folder / "new.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["video"] for row in rows if row["error"]} == {"new/bad_video.mp4"}
    assert {row["run"] for row in rows if not row["error"]} == {"spatial", "temporal", "fused"}


def test_exported_networks_say_the_same_of_a_video(folder):
    pytest.importorskip("onnxruntime")
    for stream in ("spatial", "temporal"):
        succeed(f"export runs/{stream} -o {stream}.onnx")
    (video,) = sorted((folder / "videos").glob("*/*"))[:1]
    ours = predicted(f"{video} {BOTH} --clips 3")
    theirs = predicted(f"{video} --run spatial.onnx --run temporal.onnx --clips 3")
    for name, classes in ours[str(video)].items():
        assert theirs[str(video)][name] == pytest.approx(classes, abs=1e-3)


def test_the_page_says_what_fuse_says(folder):
    fused = json.loads(run("fuse --weights 0.3 --json").stdout)
    succeed("report --weights 0.3 -o page.html")
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert f"{100 * fused['fused']['top1']:.1f}" in page
    for label in (folder / "videos").iterdir():
        assert label.name in page


def test_maps_overlays_and_timelines_are_of_the_whole_video(folder):
    (video,) = sorted((folder / "videos").glob("*/*"))[-1:]
    succeed(f"predict {video} {BOTH} --explain why.png --clips 2")
    strip = cv2.imread("why.png")
    assert strip.shape[0] > 100
    assert strip.std() > 20
    succeed(f"predict {video} {BOTH} --overlay shown.mp4 --csv timeline.csv")
    with Video(video) as source, Video("shown.mp4") as shown:
        assert len(shown) == len(source)
    with (folder / "timeline.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["run"] == "fused"]
    ends = [float(row["end"]) for row in rows]
    assert [float(row["start"]) for row in rows[1:]] == ends[:-1]


def test_flow_goes_out_as_pictures_and_comes_in_with_its_frames(folder):
    succeed("export-flow cache -o flow --format png")
    succeed("import-flow flow --videos videos --bound 20 --cache imported --jobs 1")
    assert f"all {2 * OF_A_CLASS} entries are whole" in succeed("cache verify --cache imported")


@pytest.mark.parametrize(
    "words",
    [
        "predict {video} --run {mine} --run {theirs}",
        "live --source {video} --run {mine} --run {theirs}",
        "report {mine} {theirs} -o no.html",
    ],
)
def test_runs_of_another_class_list_are_refused(sets, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (video, *_) = sorted((sets["fights"] / "videos").glob("*/*"))
    mine, theirs = sets["ucf101"] / "runs/spatial", sets["fights"] / "runs/temporal"
    told = sentence(words.format(video=video, mine=mine, theirs=theirs))
    assert "classes" in told
    assert not (tmp_path / "no.html").exists()
