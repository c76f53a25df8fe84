"""What spoke for the answers to new videos, as values and as files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os.path import abspath, commonpath
from pathlib import Path
from typing import Any

from flowcache.cache.entry import Entry
from flowcache.errors import UserError
from twostream.explanation.explain import Explanation, explain
from twostream.explanation.methods import AUTO
from twostream.explanation.output import KINDS, require_kind, write_explanations
from twostream.prediction.predict import Prediction, Predictor


def explain_video(
    predictor: Predictor,
    video: str | Path,
    output: str | Path | None = None,
    *,
    method: str = AUTO,
    clips: int = 10,
) -> dict[str, Explanation]:
    """Explain the best class of each run for a video, by the names of the runs.

    output: a file for them all, a strip (.png) or a video (.mp4). The rest is as in `explain`.

    Raises UserError for a video that cannot be decoded or is too short, another kind of output, and as
    `explain` does.
    """
    found: dict[str, Explanation] = {}

    def keep(prediction: Prediction, entries: Mapping[str, Entry]) -> None:
        found.update(_of_runs(predictor, prediction, entries, method, clips))
        if output is not None:
            _write(Path(output), found, prediction, entries)

    if output is not None:
        require_kind(Path(output))
    predictor(video, clips=clips, on_entries=keep)
    return found


def predict_and_explain(
    predictor: Predictor,
    video: Path,
    outputs: Mapping[Path, Path],
    *,
    method: str = AUTO,
    clips: int = 10,
    **how: Any,
) -> Prediction:
    """Predict a video, and write what spoke for the best class of each run into its file of `outputs`.

    method: see `explain`. clips, how: of `Predictor.__call__`. Raises what these raise.
    """

    def write(prediction: Prediction, entries: Mapping[str, Entry]) -> None:
        found = _of_runs(predictor, prediction, entries, method, clips)
        _write(outputs[video], found, prediction, entries)

    return predictor(video, clips=clips, on_entries=write, **how)


def outputs_for(videos: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Where the explanation of each video goes: the file itself for one, below a folder for several.

    In a folder the strip of `archery/v_01.avi` is `archery/v_01.avi.png`; its path begins where those
    of the videos part.

    Raises UserError for a file where there are several videos, another kind of file, one that is a video
    itself, and a file in a folder that is not there.
    """
    if output.suffix and not output.is_dir():
        require_kind(output)
        if len(videos) > 1:
            raise UserError(
                f"{output} is one file, and there are {len(videos)} videos: name a folder",
                "explain",
            )
        if not output.absolute().parent.is_dir():
            raise UserError(
                f"there is no folder {output.parent}: make it, or name another file", "explain"
            )
        if output.exists() and any(video.exists() and output.samefile(video) for video in videos):
            raise UserError(f"{output} would overwrite the video: give another name", "explain")
        return dict.fromkeys(videos, output)
    if not videos:
        return {}
    # Without "..", so that none of them leads out of the folder again; links keep their names.
    places = {video: Path(abspath(video)) for video in videos}  # noqa: PTH100
    shared = commonpath([place.parent for place in places.values()])
    return {
        video: output / f"{place.relative_to(shared)}{KINDS[0]}" for video, place in places.items()
    }


def _of_runs(
    predictor: Predictor,
    prediction: Prediction,
    entries: Mapping[str, Entry],
    method: str,
    clips: int,
) -> dict[str, Explanation]:
    """Of the best class of each run, with the probability that was predicted."""
    found = {}
    for name, network in zip(predictor.names, predictor.networks, strict=True):
        label, probability = prediction.best[name][0]
        one = explain(network, entries[name], method=method, clips=clips, label=label)
        # Where a prediction takes several crops, its probability is not that of the centre alone.
        found[name] = replace(one, probability=probability)
    return found


def _write(
    output: Path,
    found: Mapping[str, Explanation],
    prediction: Prediction,
    entries: Mapping[str, Entry],
) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    title = Path(prediction.video).name
    for name, best in prediction.best.items():
        if name not in found:  # the fusion
            label, probability = best[0]
            title += f" – {name}: {label}, {100 * probability:.0f} %"
    write_explanations(output, [entries[name] for name in found], list(found.values()), title)
