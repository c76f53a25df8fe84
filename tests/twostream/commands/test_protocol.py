import json

import pytest
from called_commands import SMALL, run, sentence, succeed

RECIPE = """
model = "tiny"
crop = 32
epochs = 1
jobs = 0
clips = 1
accelerator = "cpu"
"""


@pytest.fixture
def recipe(tmp_path):
    """Files of options for two trainings."""
    (tmp_path / "spatial.toml").write_text(RECIPE)
    (tmp_path / "moves.toml").write_text(RECIPE + 'stream = "temporal"\n')
    return tmp_path


def test_all_folds_are_trained_and_their_figures_printed_and_kept(work, recipe):
    words = (
        f"protocol --folds 2 --train spatial={recipe}/spatial.toml --train moves={recipe}/moves.toml "
        f"--run {recipe}/p"
    )
    printed = succeed(words)
    for word in ("4 of 4: fold 02, seed 0, moves", "top-1", "fused over", "], p "):
        assert word in printed
    figures = json.loads((recipe / "p" / "results.json").read_text())
    assert set(figures["outcomes"]) == {"no picture", "spatial", "moves", "fused"}
    assert figures["videos"] == 8
    assert figures["outcomes"]["no picture"]["calibration_error"] is None
    assert figures["outcomes"]["fused"]["negative_log_likelihood"] > 0

    again = succeed(f"--quiet protocol --run {recipe}/p --json")
    assert json.loads(again) == figures
    assert "other options" in sentence(words.replace("--folds 2", "--folds 3"))


def test_all_runs_are_scored_with_other_views_and_their_own_results_stay(work, recipe):
    words = (
        f"protocol --folds 2 --train spatial={recipe}/spatial.toml --train moves={recipe}/moves.toml "
        f"--run {recipe}/p"
    )
    succeed(words)
    folder = recipe / "p" / "02" / "seed-0" / "moves"
    own = {name: (folder / name).read_bytes() for name in ("scores.npz", "metrics.json")}
    figures = (recipe / "p" / "results.json").read_bytes()
    assert "fold 02, seed 0, moves, 3x10" in succeed(f"protocol --run {recipe}/p --views 3x10")
    assert own == {name: (folder / name).read_bytes() for name in own}
    assert figures == (recipe / "p" / "results.json").read_bytes()

    found = json.loads((recipe / "p" / "results-3x10.json").read_text())
    losses = []  # of the fold's videos, by the command for one run
    for fold in ("01", "02"):
        run_of_fold = recipe / "p" / fold / "seed-0" / "moves"
        words = f"--quiet evaluate --run {run_of_fold} --clips 3 --crops 10 --json"
        told = json.loads(succeed(words))
        losses += [told["negative_log_likelihood"]] * told["videos"]
    moves = found["outcomes"]["moves"]
    assert moves["negative_log_likelihood"] == pytest.approx(sum(losses) / len(losses))
    # What is scored is not scored again, and the runs' own views need no other files.
    assert "moves, 3x10" not in succeed(f"protocol --run {recipe}/p --views 3x10")
    told = json.loads(succeed(f"--quiet protocol --run {recipe}/p --views 1x1 --json"))
    assert told == json.loads(figures)
    assert not (folder / "scores-1x1.npz").exists()


def test_a_fold_alone_leaves_the_others_and_says_so(work, recipe):
    words = f"protocol --folds 2 --train moves={recipe}/moves.toml --run {recipe}/p --fold 02"
    assert "1 of 2 runs are not done, the first is fold 01, seed 0, moves" in succeed(words)
    assert not (recipe / "p" / "results.json").exists()
    told = succeed(f"--quiet protocol --run {recipe}/p --fold 02 --json")
    assert json.loads(told) == {"left": ["fold 01, seed 0, moves"]}


def test_a_run_json_says_how_to_train_and_its_own_lists_and_seed_are_not_taken(work, recipe):
    words = f"train --stream temporal {SMALL} --epochs 1 --seed 3 --run {recipe}/run"
    succeed(words)
    succeed(f"protocol --folds 2 --train t={recipe}/run/run.json --run {recipe}/p --fold 01")
    record = json.loads((recipe / "p" / "01" / "seed-0" / "t" / "run.json").read_text())
    assert record["options"]["seed"] == 0
    assert record["options"]["split"]["test_list"].endswith("test.txt")


@pytest.mark.parametrize("told", ['groups = "g.csv"', "seed = 7", "test_share = 0.5"])
def test_what_is_the_protocols_is_not_said_by_one_training(work, recipe, told):
    (recipe / "spatial.toml").write_text(f"{told}\n{RECIPE}")
    words = f"protocol --folds 2 --train spatial={recipe}/spatial.toml --run {recipe}/p"
    name = told.partition(" ")[0].replace("_", " ")
    assert f"spatial says {name}, which is one for all trainings" in sentence(words)


def test_a_fit_on_videos_that_no_run_holds_back_is_refused_before_anything_is_trained(work, recipe):
    (recipe / "moves.toml").write_text(f'{RECIPE}stream = "temporal"\nvalidation_share = 0\n')
    words = (
        f"protocol --folds 2 --train spatial={recipe}/spatial.toml --train moves={recipe}/moves.toml "
        f"--run {recipe}/p --rule log_linear"
    )
    assert "moves holds none back" in sentence(words)
    assert not list((recipe / "p").rglob("run.json"))


def test_where_it_is_stopped_it_says_how_to_go_on(work, recipe, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("twostream.stages.train", stopped)
    result = run(f"protocol --folds 2 --train moves={recipe}/moves.toml --run {recipe}/p")
    assert result.exit_code == 130
    assert f"`twostream protocol --cache cache --run {recipe}/p` goes on" in result.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--train shapes", "says no stream"),
        ("--train temporal=missing.toml", "cannot be read"),
        ("--train temporal --train temporal", "two trainings are called temporal"),
        ("--seeds nan", "--seeds"),
        ("--scheme lists", "--lists"),
        ("--seeds 0.5", "--seeds"),
        ("--scheme leave-one-group-out --folds 3", "leave the number out"),
        ("--folds 2 --fit-on folds", "nothing to fit"),
        ("--folds 2 --train temporal --fit-on folds", "one run is not fused"),
        ("--views ten", "write 25x10"),
        ("--views 3x7", "1, 3 or 10"),
        ("--folds 9", "cannot be divided into 9 folds"),
        ("--folds 2 --fold 7", "no fold 7"),
        ("--folds 2 --weights 1,1,1", "do not fit 2 runs"),
        ("--folds 2 --rule svm --weights 1,2", "svm has no shares"),
    ],
)
def test_wrong_words_get_one_sentence(work, tmp_path, words, told):
    assert told in sentence(f"protocol {words} --run {tmp_path}/p")
