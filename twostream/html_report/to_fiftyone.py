"""All test videos of a report as a FiftyOne data set: labels, what each run predicts, its evaluation."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowcache.errors import UserError
from flowcache.extraction.videos import find_videos
from twostream.html_report.content import ReportContent
from twostream.scoring.scores import Scores

TRUTH = "ground_truth"

_TAKEN = {TRUTH, "video_id", "video_group", "id", "filepath", "tags", "metadata"}
"""The names of other fields."""


def write_dataset(name: str, content: ReportContent, folder: Path) -> int:
    """Make a data set that stays in FiftyOne's database; returns how many videos it has.

    folder: of the videos themselves, from which the cache was made. Samples have the fields `video_id`,
    `video_group`, `ground_truth`, and one for each run and the fusion with label, confidence and logits;
    `eval_<field>` says which are right. Those that the fusion rescued and lost have these tags.

    Raises UserError where FiftyOne or its database is not to be had, for the name of a data set that
    there is, and where a video is not in the folder.
    """
    fiftyone = require_fiftyone()
    files = files_of(content, folder)
    try:
        if fiftyone.dataset_exists(name):
            raise UserError(
                f"FiftyOne has a data set {name}: delete it, or give another name", "output"
            )
        dataset = fiftyone.Dataset(name, persistent=True)
    except (fiftyone.core.config.FiftyOneConfigError, OSError, RuntimeError, ValueError) as error:
        # It has no database, reaches none, or refuses the name.
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"FiftyOne cannot make the data set {name}: {reason}", "output") from error
    fields = fields_of(content)
    tags = {video.id: group.name for group in content.chosen for video in group.videos}
    first = content.runs[0]
    samples = []
    for row, identifier in enumerate(first.ids):
        sample = fiftyone.Sample(
            filepath=str(files[identifier]), tags=[tags[identifier]] if identifier in tags else []
        )
        sample["video_id"] = identifier
        sample["video_group"] = first.groups[row] if first.groups else identifier
        sample[TRUTH] = fiftyone.Classification(label=first.classes[first.labels[row]])
        for field, one in fields.items():
            sample[field] = fiftyone.Classification(**prediction(one, row))
        samples.append(sample)
    dataset.add_samples(samples)
    for field in fields:
        dataset.evaluate_classifications(
            field, gt_field=TRUTH, eval_key=f"eval_{field}", classes=list(first.classes)
        )
    return len(samples)


def require_fiftyone() -> Any:
    """The library. UserError where it is not installed."""
    try:
        import fiftyone
    except ModuleNotFoundError:
        raise UserError(
            "the form fiftyone needs a package that is not installed: pip install 'twostream[fiftyone]'",
            "to",
        ) from None
    return fiftyone


def fields_of(content: ReportContent) -> Mapping[str, Scores]:
    """The scores of the runs and their fusion, by names that FiftyOne admits for fields.

    UserError where two runs have names that become one.
    """
    named = {_field(one.name): one for one in content.all}
    if len(named) < len(content.all) or not _TAKEN.isdisjoint(named):
        names = ", ".join(one.name for one in content.all)
        raise UserError(f"the runs {names} cannot be told apart as fields: rename a folder", "runs")
    return named


def _field(name: str) -> str:
    """Letters, digits and underscores, a letter first."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return plain if plain[:1].isalpha() else f"run_{plain}"


def files_of(content: ReportContent, folder: Path) -> Mapping[str, Path]:
    """The file of each test video, absolute. UserError, which names the first, where one is not there."""
    files = {
        path.relative_to(folder).with_suffix("").as_posix(): path.resolve()
        for path in find_videos(folder).videos
    }
    ids = content.runs[0].ids
    if missing := [identifier for identifier in ids if identifier not in files]:
        raise UserError(
            f"{len(missing)} of the {len(ids)} test videos are not in {folder}, the first is "
            f"{missing[0]}: name the folder from which the cache was made",
            "videos",
        )
    return {identifier: files[identifier] for identifier in ids}


def prediction(one: Scores, row: int) -> dict[str, Any]:
    """What a run or the fusion predicts for the video of a row: the arguments of a `Classification`."""
    probabilities = one.softmax()[row]
    best = int(probabilities.argmax())
    return {
        "label": one.classes[best],
        "confidence": None if one.ranks_only else float(probabilities[best]),
        "logits": one.logits[row].astype(float).tolist(),
    }
