import shutil

import pytest

from twostream import stages
from twostream.data.index import read_index
from twostream.scoring.frame_rates import frame_rates_of


def test_rates_that_no_container_states_do_not_count(new_cache, add, tmp_path):
    cache = new_cache(tmp_path)
    for name, rate in (("a", 15), ("b", 60), ("c", 25)):
        add(cache, f"c/{name}", rate=rate)
    items = read_index(cache).items
    assert frame_rates_of(items) == (15, 60)
    assert frame_rates_of(items[1:2]) == (60, 60)
    assert frame_rates_of(()) == ()


@pytest.mark.parametrize("rate", [24, 50, 12])
def test_a_test_video_of_another_frame_rate_is_named_in_an_evaluation(
    rate, finished_runs, toy, add, tmp_path
):
    """The runs were trained at 25 Hz."""
    shutil.copytree(finished_runs / "temporal", tmp_path / "run")
    cache = type(toy).open(shutil.copytree(toy.root, tmp_path / "cache"))
    said = []
    tested = stages.evaluate(cache, tmp_path / "run", clips=1, jobs=0, say=lambda _: None).ids
    add(cache, tested[1], count=5, size=(20, 20), rate=rate)
    stages.evaluate(cache, tmp_path / "run", clips=2, jobs=0, say=said.append)
    named = [line for line in said if "frame rate" in line]
    assert len(named) == (rate != 24)  # 24 and 25 are one rate in practice
    for line in named:
        assert f"1 of {len(tested)} test videos" in line
        assert f"{tested[1]} ({rate} Hz)" in line
        assert "25 to 25 Hz" in line


def test_clips_of_equal_times_may_come_at_any_rate(toy, make_toy, options, add, tmp_path):
    cache = type(toy).open(shutil.copytree(toy.root, tmp_path / "cache"))
    said = {}
    for fps in (None, 25.0):
        plan = options(clip={"fps": fps} if fps else {}, schedule={"epochs": 1}, clips=1)
        scores = stages.train(cache, tmp_path / f"{fps}", plan)
        for identifier in scores.ids:
            add(cache, identifier, count=5, size=(20, 20), rate=50)
        said[fps] = []
        stages.evaluate(cache, tmp_path / f"{fps}", clips=1, jobs=0, say=said[fps].append)
        for identifier in scores.ids:
            add(cache, identifier, count=5, size=(20, 20), rate=25)
    assert [line for line in said[None] if "frame rate" in line]
    assert said[25.0] == []
