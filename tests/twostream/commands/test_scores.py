import json

import numpy as np
import pytest
from called_commands import SMALL, run, sentence, succeed

from twostream.scoring.scores import Scores

pytestmark = pytest.mark.usefixtures("lasting_children")


def scores_of(folder, *names):
    return [Scores.load(folder / "runs" / name / "scores.npz") for name in names]


def softmax(logits):
    powers = np.exp(logits.astype(float) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


# evaluate


def test_an_evaluation_with_the_same_clips_repeats_the_scores(copy):
    (before,) = scores_of(copy, "temporal")
    output = succeed("evaluate --run runs/temporal --clips 2 --jobs 0")
    (after,) = scores_of(copy, "temporal")
    np.testing.assert_allclose(after.logits, before.logits, rtol=1e-4, atol=1e-5)
    assert "temporal" in output


def test_an_evaluation_as_json_is_what_the_run_then_records(copy):
    read = json.loads(succeed("-q evaluate --run runs/temporal --clips 3 --jobs 0 --json"))
    metrics = json.loads((copy / "runs" / "temporal" / "metrics-3x1.json").read_text())
    assert metrics["test"] == read
    assert (metrics["clips"], metrics["crops"]) == (3, 1)
    (scores,) = scores_of(copy, "temporal")
    assert read["videos"] == len(scores)
    assert read["top1"] == (scores.logits.argmax(1) == scores.labels).mean()


# fuse


def test_weights_stand_in_the_order_of_the_runs_and_logits_can_be_summed(copy):
    output = succeed("fuse runs/temporal runs/spatial --weights 1.5,1 --rule logits")
    assert "logits" in output
    assert "temporal 0.6, spatial 0.4" in output
    spatial, temporal, fused = scores_of(copy, "spatial", "temporal", "fused")
    row = [temporal.ids.index(i) for i in spatial.ids]
    expected = 0.4 * spatial.logits + 0.6 * temporal.logits[row]
    place = [fused.ids.index(i) for i in spatial.ids]
    np.testing.assert_allclose(fused.logits[place], expected, atol=1e-5)


def test_a_single_weight_is_the_share_of_the_second_run(copy):
    assert "spatial 0.75, temporal 0.25" in succeed("fuse --weights 0.25 --run runs/quarter")
    spatial, temporal, fused = scores_of(copy, "spatial", "temporal", "quarter")
    expected = 0.75 * softmax(spatial.logits) + 0.25 * softmax(temporal.logits)
    np.testing.assert_allclose(softmax(fused.logits), expected, atol=1e-6)


def test_three_runs_are_fused_two_of_them_of_one_stream_under_their_own_names(copy):
    succeed(f"train --stream temporal {SMALL} --option width=8 --run runs/wider")
    names = ("spatial", "temporal", "wider")
    words = " ".join(f"runs/{name}" for name in names)
    read = json.loads(succeed(f"fuse {words} --weights 1,1.5,2.5 --run runs/three --json"))
    assert list(read) == [*names, "fused"]
    *parts, fused = scores_of(copy, *names, "three")
    assert not np.array_equal(parts[1].logits, parts[2].logits)
    expected = sum(w * softmax(p.logits) for w, p in zip((0.2, 0.3, 0.5), parts, strict=True))
    np.testing.assert_allclose(softmax(fused.logits), expected, atol=1e-6)
    metrics = json.loads((copy / "runs" / "three" / "metrics.json").read_text())
    assert [(one["run"], one["share"]) for one in metrics["runs"]] == [
        (f"runs/{name}", pytest.approx(share))
        for name, share in zip(names, (0.2, 0.3, 0.5), strict=True)
    ]
    assert metrics["rule"] == "softmax"
    assert metrics["test"] == read["fused"]
    # And a fusion can be fused in its turn.
    assert "three 0.5" in succeed("fuse runs/wider runs/three --run runs/more")


def test_runs_of_equal_names_are_refused(copy):
    (copy / "other").mkdir()
    (copy / "runs" / "spatial").rename(copy / "other" / "temporal")
    said = sentence("fuse runs/temporal other/temporal --run runs/two")
    assert "rename one" in said
    assert not (copy / "runs" / "two").exists()
    video = next((copy / "videos" / "still").iterdir())
    assert "rename one" in sentence(f"predict {video} --run runs/temporal --run other/temporal")


# predict


def test_a_prediction_is_a_table_or_json(work):
    videos = [str(p) for p in sorted((work / "videos" / "moving").iterdir())[:2]]
    assert "fused" in succeed(["predict", *videos, "--clips", "2"])
    read = json.loads(succeed(["predict", *videos, "--clips", "2", "--json"]))
    assert [one["video"] for one in read] == videos
    for one in read:
        for name in ("spatial", "temporal", "fused"):
            assert {best["class"] for best in one[name]} == {"still", "moving"}
            assert sum(best["probability"] for best in one[name]) == pytest.approx(1, abs=1e-5)


def test_one_run_alone_predicts_and_so_do_others_than_the_usual_two(work):
    video = str(next((work / "videos" / "moving").iterdir()))
    words = ["predict", video, "--clips", "2", "--json", "--top", "1"]
    (alone,) = json.loads(succeed([*words, "--run", "runs/temporal"]))
    assert list(alone) == ["video", "temporal"]
    assert len(alone["temporal"]) == 1
    turned = ["--run", "runs/temporal", "--run", "runs/spatial", "--weights", "0"]
    (both,) = json.loads(succeed([*words, *turned]))
    assert list(both) == ["video", "temporal", "spatial", "fused"]
    assert (
        both["fused"][0]["class"] == both["temporal"][0]["class"] == alone["temporal"][0]["class"]
    )
    assert both["fused"][0]["probability"] == pytest.approx(alone["temporal"][0]["probability"])


def test_a_broken_video_does_not_stop_the_other_predictions(work, tmp_path):
    good = str(next((work / "videos" / "moving").iterdir()))
    (tmp_path / "bad [1].mp4").write_bytes(b"no video")
    result = run(["predict", str(tmp_path / "bad [1].mp4"), good, "--clips", "2"])
    assert result.exit_code == 1
    assert "bad [1].mp4" in result.output
    assert "fused" in result.output
    assert "Traceback" not in result.output
    result = run(["predict", str(tmp_path / "bad [1].mp4"), good, "--clips", "2", "--json"])
    assert result.exit_code == 1
    good_one, bad_one = json.loads(result.stdout)
    assert good_one["video"] == good
    assert "bad [1].mp4" in bad_one["error"]
