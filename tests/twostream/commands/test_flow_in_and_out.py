"""`import-flow` and `export-flow`, and what the other commands do with flow that was imported."""

import csv
import os
import shutil
import signal

import cv2
import pytest
from called_commands import SMALL, run, sentence, succeed

from flowcache.cache.store import FlowCache

pytestmark = pytest.mark.usefixtures("lasting_children")


@pytest.fixture
def pictures(copy):
    """The flow of the folder's cache as JPEG pairs, as other programs would have left it."""
    out = succeed("export-flow cache -o pictures --format jpeg --jobs 1")
    assert out.split() == ["wrote", "64", "fields", "to", "pictures"]
    return copy / "pictures"


IMPORT = "import-flow pictures --cache imported --bound 20 --jobs 1"


def test_pictures_go_out_and_in_and_a_network_learns_from_them(pictures):
    out = succeed(f"{IMPORT} --videos videos --origin ours")
    assert "flow of 8 videos → imported: imported (ours), step 1, size original, ±20 px" in out
    assert "8 videos done (64 fields), 0 kept from before, 0 without an entry" in out
    assert "8 kept from before" in succeed(f"{IMPORT} --videos videos --origin ours")
    assert "all 8 entries are whole" in succeed("cache verify --cache imported --jobs 1")
    assert "imported (ours)" in succeed("cache info --cache imported")
    for stream in ("spatial", "temporal"):
        succeed(f"train --cache imported --stream {stream} {SMALL} --run runs/again/{stream}")
    assert "top-1" in succeed("evaluate --run runs/again/temporal --cache imported")
    # A network that sees frames needs no flow, which nothing could compute.
    video = "videos/still/v_still_g01_c01.avi"
    assert "still" in succeed(f"predict {video} --run runs/again/spatial")
    assert "cannot be computed" in sentence(f"predict {video} --run runs/again/temporal")
    succeed("show imported/moving/v_moving_g01_c01.h5 -o a.png")


def test_without_frames_the_temporal_stream_is_all_that_there_is(pictures):
    succeed(f"{IMPORT} --no-frames")
    assert "all 8 entries are whole" in succeed("cache verify --cache imported --jobs 1")
    succeed(f"train --cache imported --stream temporal {SMALL} --length 4 --run runs/again")
    succeed("evaluate --run runs/again --cache imported")
    for command in (
        f"train --cache imported --stream spatial {SMALL} --run runs/none",
        "show imported/moving/v_moving_g01_c01.h5 -o a.png",
        "cache duplicates --cache imported",
    ):
        result = run(command)
        assert result.exit_code == 1
        message = " ".join(result.stderr.split())
        assert message.startswith("Error: imported/"), message
        assert "holds no frames, since its flow was imported without videos" in message
    video = "videos/still/v_still_g01_c01.avi"
    why = "the flow is imported (unknown origin), so it cannot be computed for other videos"
    assert why in sentence(f"predict {video} --run runs/again")
    assert why in sentence(f"live --source {video} --run runs/again")
    note = "trained on flow by imported, and given flow by dis: labels may be worse"
    assert note in succeed(f"live --source {video} --run runs/again --algorithm dis")


def test_what_lies_beyond_the_bound_is_told(copy):
    succeed("export-flow cache -o arrays --format npy --jobs 1")
    for bound, is_told in ((0.2, True), (20, False)):
        out = succeed(f"import-flow arrays --cache at-{bound} --no-frames --bound {bound} --jobs 1")
        assert ("displacements beyond the bound, which were cut off there" in out) == is_told


def test_what_is_for_pictures_alone_is_refused_for_other_files(work):
    for option in ("--bound 20", "--jpeg-quality 90"):
        said = sentence(f"export-flow cache -o out --format flo {option}")
        assert "for pictures" in said
        assert said.endswith(f"({option.split()[0]})")


def test_an_export_that_is_stopped_leaves_nothing(copy, monkeypatch):
    before = sorted(copy.iterdir())

    def stop(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("flowcache.exchange.formats.npy.write", stop)
    handler = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("nothing handles it"))
    try:
        assert run("export-flow cache -o out --format npy --jobs 1").exit_code == 143
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert sorted(copy.iterdir()) == before


def test_what_does_not_fit_is_printed_and_listed_and_the_status_says_so(pictures):
    shutil.rmtree(pictures / "still" / "v_still_g01_c01")
    (pictures / "moving" / "v_moving_g02_c01" / "flow_y_00003.jpg").unlink()
    first = pictures / "moving" / "v_moving_g03_c01" / "flow_x_00001.jpg"
    cv2.imwrite(str(first), cv2.imread(str(first), 0)[:20])
    result = run(f"{IMPORT} --videos videos")
    assert result.exit_code == 1
    out = " ".join(result.output.split())
    assert "1 videos have no flow, the first is videos/still/v_still_g01_c01.avi" in out
    assert "5 videos done (40 fields), 0 kept from before, 2 without an entry" in out
    assert "failed: moving/v_moving_g02_c01: 8 pictures of dx and 7 of dy: flow_x_00003.jpg" in out
    assert "failed: moving/v_moving_g03_c01: flow_x_00001.jpg has 64x20 pixels" in out
    with (pictures.parent / "imported" / "failures.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert len(FlowCache.open("imported").ids()) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("import-flow pictures --cache c --videos videos", "the bound that they were written with"),
        (
            "import-flow pictures --cache c --bound 20",
            "say that no frames are to be kept (--videos)",
        ),
        ("import-flow videos --cache c --no-frames", " holds no flow in a known form"),
        ("import-flow cache --cache c --no-frames", "cache is a flow cache itself"),
        ("import-flow absent --cache c --no-frames", "absent is no folder"),
        (
            "import-flow pictures --format jpg --no-frames",
            "there is no format 'jpg': choose from flo",
        ),
        ("export-flow cache -o pictures --format flo", "is there already"),
        ("export-flow cache -o out --format avi", "there is no format 'avi'"),
        ("export-flow videos -o out --format flo", "videos is no flow cache"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(words, message, work, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for axis in "xy":
        (pictures / f"flow_{axis}_00001.jpg").write_bytes(b"not looked at")
    assert message in sentence(words.replace("pictures", str(pictures)))
    assert not (work / "c").exists()
