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


def recorded_views(folder, views):
    metrics = json.loads((folder / "runs" / "temporal" / f"metrics-{views}.json").read_text())
    return tuple(metrics[name] for name in ("clips", "crops", "average"))


def test_a_protocol_names_clips_crops_and_average_and_what_is_given_beside_it_wins(copy):
    succeed("evaluate --run runs/temporal --jobs 0 --protocol non-local")
    assert recorded_views(copy, "10x3-softmax") == (10, 3, "softmax")
    succeed("evaluate --run runs/temporal --jobs 0 --clips 2 --protocol tsn --average softmax")
    assert recorded_views(copy, "2x10-softmax") == (2, 10, "softmax")
    assert "two-stream-2014" in run("evaluate --run runs/temporal --protocol 2014").output


def test_a_prediction_by_a_protocol_is_one_of_its_clips_crops_and_average(copy):
    video = "videos/moving/v_moving_g01_c01.avi"
    by_name = succeed(f"-q predict {video} --protocol c3d --json")
    by_values = succeed(f"-q predict {video} --clips 10 --crops 1 --average softmax --json")
    assert by_name == by_values
    assert by_name != succeed(f"-q predict {video} --protocol i3d --json")


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
    assert list(read["runs"]) == list(names)
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


def test_a_fusion_says_what_it_gains_and_its_json_carries_all_that_is_written(copy):
    output = succeed("fuse --weights fit")
    assert "fitted on" in output
    assert "gain over" in output
    assert "The fusion does not help" in output
    read = json.loads(succeed("fuse --weights fit --json"))
    written = json.loads((copy / "runs" / "fused" / "metrics.json").read_text())
    assert read["gain"] == written["gain"]
    assert read["held_out"] == written["held_out"] > 0
    assert list(read["shares"].values()) == [one["share"] for one in written["runs"]]
    assert len(read["curve"]["shares"]) == len(read["curve"]["validation"]) == 21


def test_a_fitted_rule_needs_no_weights_and_refuses_numbers(copy):
    output = succeed("fuse --rule log_linear")
    assert "fused by log_linear" in output
    assert "shares:" not in output
    said = sentence("fuse --rule log_linear --weights 0.5")
    assert "log_linear has no shares" in said
    assert "--weights" in said
    (copy / "runs" / "spatial" / "validation_scores.npz").unlink()
    said = sentence("fuse --rule log_linear")
    assert "has no validation_scores.npz" in said
    assert "--rule" in said


# predict


@pytest.mark.parametrize("words", ["--weights fit", "--rule log_linear"])
def test_predictions_are_fused_by_what_was_fitted_on_the_validation_scores(work, words):
    video = str(next((work / "videos" / "moving").iterdir()))
    (read,) = json.loads(succeed(["predict", video, "--clips", "2", "--json", *words.split()]))
    assert sum(best["probability"] for best in read["fused"]) == pytest.approx(1, abs=1e-5)


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
