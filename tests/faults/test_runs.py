"""Damaged checkpoints, scores, lists and records: each is refused in a sentence, or is right."""

import fault_attempts_runs as attempts
import fault_campaign
import pytest
from called_commands import SMALL, succeed
from fault_campaign import DIED, HUNG, TRACEBACK, WRONG
from made_mutants import mutant
from made_scores import scores
from made_videos import write_two_classes

from flowcache.workers.isolation import Children
from twostream.runs.files import BEST, LAST, RECORD

SHORT = range(12)
LONG = pytest.param(range(1000, 1300), marks=[pytest.mark.slow, pytest.mark.faults])
SEEDS = pytest.mark.parametrize("seeds", [SHORT, LONG], ids=["short", "long"])


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """The folder of a run, whose cache lies beside it."""
    folder = tmp_path_factory.mktemp("faults")
    write_two_classes(folder / "videos", 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        succeed("extract-flow videos/ --algorithm farneback --jobs 1")
        succeed(f"train --stream temporal {SMALL} --run run")
    return folder / "run"


@pytest.fixture(scope="module")
def campaign():
    """Try mutants of a file, in children that have imported PyTorch once for all campaigns."""
    with Children() as children:

        def run(attempt, whole, seeds, *arguments):
            mutants = (mutant(whole, seed) for seed in seeds)
            cases = ((name, (*arguments, damaged)) for name, damaged in mutants)
            counts = fault_campaign.run(attempt, cases, children=children)
            print(attempt.__name__, *arguments[-1:], counts)
            for end in (WRONG, HUNG, TRACEBACK, DIED):
                assert counts.cases[end] == []

        yield run


@SEEDS
@pytest.mark.parametrize(
    ("attempt", "name"), [(attempts.checkpoint, BEST), (attempts.last_checkpoint, LAST)]
)
def test_damaged_checkpoints(attempt, name, seeds, campaign, finished_run):
    path = finished_run / name
    campaign(attempt, path.read_bytes(), seeds, str(path))


@SEEDS
def test_damaged_scores(seeds, campaign, tmp_path):
    scores().save(tmp_path / "scores.npz")
    whole = (tmp_path / "scores.npz").read_bytes()
    campaign(attempts.scores, whole, seeds, str(tmp_path / "scores.npz"))


@SEEDS
@pytest.mark.parametrize("kind", attempts.TEXTS)
def test_damaged_lists(kind, seeds, campaign):
    campaign(attempts.text, attempts.TEXTS[kind].encode(), seeds, kind)


@SEEDS
def test_damaged_records(seeds, campaign, finished_run):
    campaign(attempts.record, (finished_run / RECORD).read_bytes(), seeds)


@SEEDS
def test_damaged_recipes(seeds, campaign, finished_run):
    campaign(
        attempts.cache_json, (finished_run.parent / "cache" / "cache.json").read_bytes(), seeds
    )
