import json

import pytest
from called_commands import SMALL, installed, run, succeed

from twostream.commands import _progress

pytestmark = pytest.mark.usefixtures("lasting_children")


@pytest.mark.parametrize(
    ("words", "results"),
    [
        ("extract-flow videos/", ["8 kept from before"]),
        (f"train --stream spatial {SMALL} --run runs/again", ["test videos", "top-1", "spatial"]),
        ("fuse --weights 0.5", ["test videos", "top-1", "fused"]),
        ("evaluate --run runs/spatial --clips 2 --jobs 0", ["test videos", "spatial"]),
        ("cache info", ["still"]),
        ("cache verify --jobs 1", ["all 8 entries are whole"]),
        ("show videos/still/v_still_g01_c01.avi -o a.png", []),
        ("predict videos/still/v_still_g01_c01.avi --clips 2", ["still", "fused"]),
    ],
)
def test_nothing_but_the_result_is_printed_on_demand(words, results, copy):
    words = f"{words} --overwrite" if "train" in words else words
    loud, quiet = succeed(words), succeed(f"-q {words}")
    assert len(quiet.splitlines()) <= len(loud.splitlines())
    for word in results:
        assert word in quiet
    for note in ("epoch", "are in", "fused by", "wrote", "bytes include", "kept for the test"):
        assert note not in quiet
    if not results:
        assert quiet == ""


def test_a_pretraining_has_no_result_and_is_silent(work, tmp_path):
    words = (
        f"-q pretrain --stream temporal --option patch=8 --option width=12 --option depth=1 "
        f"--option heads=2 --length 4 --crop 16 --epochs 1 --jobs 0 --accelerator cpu "
        f"--run {tmp_path / 'r'}"
    )
    assert succeed(words) == ""
    assert (tmp_path / "r" / "best.ckpt").is_file()


def test_errors_are_still_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("-q cache info --cache nowhere")
    assert result.exit_code == 1
    assert "nowhere is no flow cache" in result.output


def test_one_quiet_command_does_not_silence_the_next(work):
    assert "fused by" not in succeed("-q fuse")
    assert "fused by" in succeed("fuse")


def test_with_json_progress_goes_to_standard_error(work, monkeypatch):
    monkeypatch.setattr(_progress, "_SECONDS_BETWEEN_LINES", -1.0)
    result = run("evaluate --run runs/spatial --clips 2 --jobs 0 --json")
    assert "top1" in json.loads(result.stdout)
    assert "of 8 clips" in result.stderr
    plain = run("evaluate --run runs/spatial --clips 2 --jobs 0")
    assert "of 8 clips" in plain.stdout


def test_nothing_but_json_comes_on_standard_output(copy):
    result = installed("-q fuse --json", copy)
    assert (result.returncode, result.stderr) == (0, "")
    assert set(json.loads(result.stdout)["runs"]) == {"spatial", "temporal"}
