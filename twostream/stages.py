"""The stages joined on files: cache → split → network → checkpoint → scores; see also score_fusion."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream.data.clip_spec import Crops
from twostream.data.index import Item
from twostream.learning import learn
from twostream.report.tables import write_metrics, write_predictions
from twostream.runs import files
from twostream.runs.checkpoint import load_checkpoint
from twostream.runs.model_recipe import complete
from twostream.runs.run_json import precision_of
from twostream.runs.split_of_run import groups_of
from twostream.runs.training_options import Average, RunOptions, TrainOptions
from twostream.runs.views import Views, own_views, with_views
from twostream.scoring.evaluate import items_of_split, score
from twostream.scoring.frame_rates import unlike_rates
from twostream.scoring.scores import Scores
from twostream.training.listener import SILENT, Listener


def train(
    cache: FlowCache,
    folder: Path,
    options: TrainOptions,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener = SILENT,
    network: Any = None,
) -> Scores | None:
    """Train one stream into `folder`, and score its test and validation videos with the best epoch.

    resume: go on with the run in the folder, which has these options; see `runs.run_json.recorded`.
    overwrite: replace an earlier run when the first epoch of this one has ended, and not before.
    network: a user's own, in place of the model that the options name; it gets the weights of the best
        epoch.

    Returns the scores of the test videos; None in the helping processes of a distributed run. UserError
    where the folder holds a run that is neither resumed nor replaced.
    """
    asked, options = options, complete(options, folder if resume else None)
    if not learn(
        cache,
        folder,
        options,
        asked=asked,
        resume=resume,
        overwrite=overwrite,
        listener=listener,
        init=options.init,
        network=network,
    ):
        return None
    return evaluate_run(cache, folder, options, listener=listener, network=network)


def pretrain(
    cache: FlowCache,
    folder: Path,
    options: RunOptions,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener = SILENT,
) -> bool:
    """Train one stream into `folder` without labels, by the model's own pretraining.

    The videos are divided as `train` divides them, and those of the test part are not read. Returns
    False in the helping processes of a distributed run. UserError for a model without a pretraining, and
    for a folder as `train` has it.
    """
    return learn(
        cache,
        folder,
        complete(options, folder if resume else None),
        asked=options,
        resume=resume,
        overwrite=overwrite,
        listener=listener,
        pretraining=True,
    )


def evaluate_run(
    cache: FlowCache,
    folder: Path,
    options: TrainOptions,
    *,
    listener: Listener = SILENT,
    network: Any = None,
) -> Scores:
    """Score a run's videos with the clips and crops, in the batches and on the device of these options.

    options: with nothing left to the model. network: see `train`. All else as of `evaluate`.
    """
    return evaluate(
        cache,
        folder,
        clips=options.clips,
        crops=options.crops,
        average=options.average,
        batch_size=options.schedule.batch_size,
        jobs=options.jobs,
        accelerator=options.trainer.accelerator,
        precision=options.trainer.precision,
        say=listener.say,
        on_clips=listener.on_clips,
        network=network,
    )


def evaluate(
    cache: FlowCache,
    folder: Path,
    *,
    clips: int = 10,
    crops: Crops = 1,
    average: Average = "logits",
    batch_size: int = 32,
    jobs: int = 2,
    accelerator: str = "auto",
    precision: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    on_clips: Callable[[int, int], None] = lambda *_: None,
    network: Any = None,
) -> Scores:
    """Score a run's test and validation videos with its best checkpoint.

    clips, crops, average, accelerator, precision: see `scoring.evaluate.score`; by default the precision
    is that of the training. on_clips: is given how many clips are scored, and of how many. network: see
    `train`.

    Writes the scores of both, the predictions and `metrics.json` into the run's folder; where these
    already lie there for other clips, crops or another average, under names of their own, see
    `runs.views`.
    """
    model, spec = load_checkpoint(folder / files.BEST, network)
    if differences := spec.recipe.differences(cache.recipe):
        say(f"this cache differs from the one trained on: {'; '.join(differences)}")

    precision = precision or precision_of(folder)
    split, done = spec.split, 0
    total = clips * crops * (len(split.test) + len(split.validation))

    def count(scored_now: int) -> None:
        nonlocal done
        done += scored_now
        on_clips(done, total)

    def scored(items: Sequence[Item], trained_on: Sequence[str]) -> Scores:
        return score(
            model,
            spec,
            cache,
            items,
            clips=clips,
            crops=crops,
            average=average,
            batch_size=batch_size,
            workers=jobs,
            trained_on=trained_on,
            accelerator=accelerator,
            precision=precision,
            on_clips=count,
        )

    test, validation = items_of_split(cache, spec, "test", "validation", groups=groups_of(folder))
    if unlike := unlike_rates(spec, test):
        say(unlike)
    learnt = frozenset(spec.learnt)
    if leaked := [item.id for item in test if item.sha256 in learnt]:
        raise UserError(
            f"{cache.root} has as {leaked[0]}, which tests, a file that the network has learnt from: "
            "evaluate on the cache that was trained on",
            "cache",
        )
    scores = scored(test, (*split.train, *split.validation))
    views = Views(clips, crops, average)
    beside = own_views(folder) not in (None, views)
    if beside:
        say(f"the run's own scores stay: these are in {with_views(files.SCORES, views)}")

    def place(name: str) -> Path:
        return folder / (with_views(name, views) if beside else name)

    scores.save(place(files.SCORES))
    metrics: dict[str, Any] = {
        "clips": clips,
        "crops": crops,
        "average": average,
        "split": split.digest,
        "test": scores,
    }
    if validation:
        metrics["validation"] = scored(validation, split.train)
        metrics["validation"].save(place(files.VALIDATION_SCORES))
    write_predictions(place(files.PREDICTIONS), scores)
    write_metrics(place(files.METRICS), metrics)
    return scores
