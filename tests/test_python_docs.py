"""The page for researchers, run from its first block to its last."""

import re

import made_videos as made
import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def page(pytestconfig):
    return (pytestconfig.rootpath / "docs" / "python.md").read_text(encoding="utf-8")


def blocks(page):
    """Each block of Python with the number of the line where it begins."""
    for found in re.finditer(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        yield page[: found.start(1)].count("\n"), found[1]


@pytest.mark.usefixtures("lasting_children")
def test_the_blocks_of_the_page_run_in_order(page, tmp_path, monkeypatch, capfd):
    for name, dx in (("archery", 1.5), ("bowling", -1.0)):
        for number in range(1, 6):
            gray = made.moving_scene(24, 72, 96, dx, 0.5, seed=number)
            made.write_video(tmp_path / "videos" / name / f"v_{number:02}.avi", gray)
    made.write_video(tmp_path / "clip.mp4", made.moving_scene(22, 72, 96, 2.0, -1.0), made.H264_MP4)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    torch.set_num_threads(1)  # other tests run beside this one
    count = 0
    for line, block in blocks(page):
        # So that an error names the line of the page.
        exec(compile("\n" * line + block, "docs/python.md", "exec"), names)
        count += 1
    assert count > 14
    # The clip moves by (2, −1), and phase correlation of so few pixels sees most of that.
    np.testing.assert_allclose(np.median(names["shift"].data, (0, 2, 3)), [2.0, -1.0], atol=0.35)
    np.testing.assert_allclose(names["flow"].data.mean((0, 2, 3)), [2.0, -1.0], atol=0.2)
    printed = capfd.readouterr().out
    assert "10 videos done" in printed
    assert "choose from dis, farneback, tvl1" in printed


def test_each_block_is_checked_or_prepares_one_that_is(page):
    unchecked = [
        line for line, block in blocks(page) if "assert" not in block and "raise" not in block
    ]
    assert len(unchecked) <= 2


def test_the_page_is_written_to_be_read(page):
    assert all(len(line) <= 110 for line in page.splitlines())
    assert "TODO" not in page
