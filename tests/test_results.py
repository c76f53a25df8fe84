"""The scripts of the results are run for hours, by hand; here each runs in miniature."""

import subprocess
import sys
from pathlib import Path

import pytest
from made_videos import write_small_videos

RESULTS = Path(__file__).parents[1] / "results"
SCRIPTS = sorted(p.stem for p in RESULTS.glob("*.py") if p.stem != "experiment")
GROUPS = (*range(8, 12), *range(15, 19), *range(22, 26))  # some of each part of UCF101's splits


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two classes, named as UCF101's are, with their groups also in a file."""
    folder = tmp_path_factory.mktemp("results")
    names = [f"{c}/v_{c}_g{g:02}_c01.avi" for c in ("Archery", "HorseRace") for g in GROUPS]
    write_small_videos(folder / "videos", names)
    lines = [f"{name},g{name.partition('_g')[2][:2]}" for name in names]
    (folder / "groups.csv").write_text("\n".join(["video,group", *lines]))
    return folder / "videos"


def test_there_are_scripts():
    assert {"ucf101", "fights", "ut_interaction", "ablations"} <= {*SCRIPTS}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_makes_its_section_and_makes_it_again_from_what_is_there(
    script, videos, tmp_path, root, monkeypatch
):
    page = tmp_path / "page.md"
    page.write_text("# Results\n\n<!-- other -->\nstays\n<!-- end of other -->\n")
    words = [
        *(sys.executable, str(RESULTS / f"{script}.py"), str(videos), str(tmp_path / "work")),
        *("--miniature", "--seeds", "0", "--into", str(page)),
    ]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(root))
    for _ in range(2):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    assert "1/" not in done.stdout  # nothing was trained twice
    text = page.read_text()
    assert "stays" in text
    assert text.count(f"<!-- {script} -->") == text.count(f"<!-- end of {script} -->") == 1
    assert ("segment mAP at IoU 0.5 |" if script == "ut_timeline" else "| top-1 |") in text
    assert f"python results/{script}.py" in text
