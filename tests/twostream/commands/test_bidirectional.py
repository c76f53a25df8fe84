"""Flow in both directions, from a folder of videos to an answer."""

import json
from pathlib import Path

import numpy as np
import pytest
from called_commands import SMALL, run, sentence, succeed

from flowcache.cache.store import FlowCache
from twostream.live.capture import Captured
from twostream.live.motion import Motion
from twostream.scoring.scores import Scores
from twostream.timeline.decoding import decode_isolated

pytestmark = pytest.mark.usefixtures("lasting_children")

EXTRACT = "extract-flow videos/ --cache both --algorithm farneback --step 2"


def test_a_stream_of_both_directions_is_trained_and_answers_alike_everywhere(copy):
    succeed(f"{EXTRACT} --backward --bound 1")
    assert "forward and backward" in succeed("cache info --cache both")
    *_, together = json.loads(succeed("cache info --cache both --json"))["classes"]
    infos = [info for _, info in FlowCache.open(copy / "both").infos()]
    share = sum(info.saturated for info in infos) / sum(info.values for info in infos)
    assert together["saturated"] == pytest.approx(share) != 0
    assert "8 entries" in succeed("cache verify --cache both")
    succeed(f"train --cache both --stream bidirectional {SMALL} --length 4")
    scores = Scores.load(copy / "runs" / "bidirectional" / "scores.npz")
    read = json.loads(succeed("predict videos --run runs/bidirectional --clips 2 --json"))
    by_video = {one["video"].removeprefix("videos/").removesuffix(".avi"): one for one in read}
    assert set(by_video) == set(FlowCache.open("both").ids())
    for identifier, probabilities in zip(scores.ids, scores.softmax(), strict=True):
        told = {p["class"]: p["probability"] for p in by_video[identifier]["bidirectional"]}
        assert [told[name] for name in scores.classes] == pytest.approx(
            probabilities.tolist(), abs=1e-6
        )
    video = f"videos/{next(iter(by_video))}.avi"
    assert "moving" in succeed(f"predict {video} --run runs/bidirectional --timeline --json")
    live = run(f"live --source {video} --run runs/bidirectional")
    assert (live.exit_code, len(live.stdout.splitlines())) == (0, 9 - 2 - 3)


def test_what_goes_on_frame_by_frame_has_the_fields_of_the_cache(copy):
    succeed(f"{EXTRACT} --backward")
    cache = FlowCache.open("both")
    identifier = "moving/v_moving_g01_c01"
    expected = cache.entry(identifier).codes[:]
    parts = []
    decode_isolated(
        Path(f"videos/{identifier}.avi"),
        cache.recipe,
        with_flow=True,
        on_opened=lambda _: None,
        on_part=parts.append,
    )
    np.testing.assert_array_equal(np.concatenate([part.codes for part in parts]), expected)
    frames = np.concatenate([part.frames.rgb for part in parts])
    motion, step = Motion([cache.recipe], [True]), cache.recipe.frame_step
    for number in range(step, len(frames)):
        pair = [frames[number]], [frames[number - step]]
        (codes,) = motion(Captured(number, 0.0, 0.0, *pair)).codes
        np.testing.assert_array_equal(codes, expected[number - step])


def test_a_cache_of_flow_forward_is_refused_in_a_sentence(work):
    told = sentence(f"train --stream bidirectional {SMALL} --run other")
    assert "`--backward`" in told
    assert not (work / "other").exists()


def test_a_cache_is_not_continued_in_other_directions(copy):
    succeed(EXTRACT)
    assert "backward False, not True" in sentence(f"{EXTRACT} --backward")
