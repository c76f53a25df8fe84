"""What a program calls: clips of a cache, models, training, prediction and fusion. See docs/python.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from flowcache import indexing, plugins
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from twostream import models, stages
from twostream.data.clip_reader import ClipReader
from twostream.data.clip_spec import ClipSpec
from twostream.data.streams import STREAMS, Stream
from twostream.exporting.export import Exported
from twostream.exporting.export import export as write_exported
from twostream.fusion import Weights, rule_for
from twostream.nets.model_card import OF_NO_PAPER, Card
from twostream.nets.normalize import Normalized
from twostream.nets.pretrained import mean_and_std
from twostream.option_fields import declared, from_flat
from twostream.prediction.predict import Predictor
from twostream.protocol.options import ProtocolOptions
from twostream.protocol.plan import begin, train_options
from twostream.protocol.results import Ensemble, refuse_unfit
from twostream.protocol.summary import figures
from twostream.protocol.work import score_views, work
from twostream.runs import files
from twostream.runs.checkpoint import add_spec, load_checkpoint
from twostream.runs.checkpoint_file import write_checkpoint
from twostream.runs.run_json import recorded, refuse_new_options
from twostream.runs.split_of_run import split_cache
from twostream.runs.training_options import Average, SplitOptions, TrainOptions
from twostream.runs.views import Views
from twostream.scoring.align import align
from twostream.scoring.scores import FUSED, Scores
from twostream.timeline.options import TimelineOptions
from twostream.timeline.predict import Timeline, predict_timeline
from twostream.training.listener import SILENT, Listener


class Clips(Dataset[tuple[Tensor, int]]):
    """The clips of a cache as a dataset of PyTorch: `clips[i]` is (clip, label), one for each video.

    A clip is uint8 (T, 3, H, W), RGB; or float32 (T, 2, H, W), the flow in pixels per step, from which
    the mean of each field is subtracted; or int16 (T, 3, H, W), differences of frames. In the part
    "train" each access draws a clip, a crop and a mirroring from PyTorch's generator; in the others it is
    the middle clip and the centre crop.
    """

    def __init__(
        self,
        cache: str | Path,
        *,
        stream: str,
        part: str = "train",
        seed: int = 0,
        **options: Any,
    ) -> None:
        """Read which videos there are.

        stream: "spatial", "temporal", "bidirectional" or "difference".
        part: "train", "validation", "test" or "all". seed: of the division into parts. options: those of
        `ClipSpec` (length, stride, crop, flip, subtract_mean, …) and of `SplitOptions` (groups,
        test_share, train_list, …).

        Raises UserError for a cache or an option that there is not, and where no division is possible.
        """
        opened = FlowCache.open(cache)
        self._stream, self._part = stream_of(stream), part
        of_split = {each.name for each in declared(SplitOptions)} & set(options)
        split_options = {name: options.pop(name) for name in of_split}
        spec = from_flat(ClipSpec, options)
        self.spec = OF_NO_PAPER.fill(spec, stream, self._stream.length)
        index, split = split_cache(opened, from_flat(SplitOptions, split_options), seed)
        parts = {"all": tuple(item.id for item in index.items)}
        parts |= {name: getattr(split, name) for name in ("train", "validation", "test")}
        if part not in parts:
            raise UserError(f"there is no part {part!r}: choose from {', '.join(parts)}", "part")
        self.classes = index.classes
        self.ids: tuple[str, ...] = parts[part]
        self._items = index.select(self.ids)
        self._reader = ClipReader(opened, self._stream, self.spec)
        self._scale = torch.tensor(self._stream.scale(opened.recipe))

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        name, videos, classes = self._stream.name, len(self), len(self.classes)
        return f"Clips({name}, {self._part}: {videos} videos, {classes} classes)"

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        (index,) = indexing.numbers(number, len(self), "clip")
        item = self._items[index]
        if self._part == "train":
            rng = np.random.default_rng(int(torch.randint(2**31, ())))
            cut = self._reader.random(item, rng)
        else:
            cut = self._reader.even(item, number=0, clips=1, crops=1)
        clip, mean, gain = (torch.from_numpy(part[0]) for part in cut)
        if self._stream.is_displacement:
            values = clip * self._scale[:, None, None] - mean[..., None, None]
            clip = values * gain[:, None, None]
        return clip, item.label


def stream_of(name: str) -> Stream:
    """One of the streams. UserError for another name."""
    if name not in STREAMS:
        raise UserError(f"there is no stream {name!r}: choose from {', '.join(STREAMS)}", "stream")
    return STREAMS[name]


def create_model(
    name: str,
    *,
    stream: str,
    classes: int | Sequence[str],
    length: int | None = None,
    **options: Any,
) -> Normalized:
    """A network with fresh weights, which takes batches of what `Clips` gives; see `twostream models`.

    classes: their number, or their names. length: frames of a clip, by default the model's. options: of
    the model. It maps (B, T, C, H, W) to logits (B, K); the normalisation is part of it, and for RGB that
    which the model's published weights expect.

    Raises UserError for a model or an option that there is not.
    """
    values = stream_of(stream)
    card: Card = plugins.module(models, name).CARD
    length, _ = card.clip(length, None, stream, values.length)
    network: nn.Module = plugins.create(
        models,
        name,
        channels=values.channels,
        length=length,
        classes=classes if isinstance(classes, int) else len(classes),
        **options,
    )
    expected = mean_and_std(network) if values.is_colour else None
    return Normalized(network, values.unit_scale, expected)


@dataclass(frozen=True)
class Run:
    """A trained network in its folder."""

    folder: Path

    @property
    def scores(self) -> Scores:
        """Of the test videos."""
        return Scores.load(self.folder / files.SCORES)

    @property
    def validation_scores(self) -> Scores:
        """Of the videos that validated."""
        return Scores.load(self.folder / files.VALIDATION_SCORES)


def train(
    cache: str | Path,
    *,
    stream: str,
    run: str | Path | None = None,
    model: str | nn.Module = TrainOptions.model,
    options: dict[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener = SILENT,
    **others: Any,
) -> Run:
    """Train one stream, and score its test and validation videos with the best epoch.

    Args:
        cache: the folder of a cache.
        stream: "spatial", "temporal", "bidirectional" or "difference".
        run: the folder for the result; by default runs/<stream>.
        model: a name, or a network of one's own, which maps float32 (B, T, C, H, W) to logits (B, K).
            After the training it has the weights of the best epoch.
        options: of the model that is named.
        resume: go on with a killed run, with the options that it had.
        overwrite: replace an earlier run.
        listener: is told how it goes.
        others: every option of `twostream train --help`, as `epochs=30, learning_rate=1e-3`.

    Raises:
        UserError: for an option that there is not, a folder that is taken, videos that cannot be divided.
    """
    opened, folder = FlowCache.open(cache), Path(run or Path("runs", stream))
    if isinstance(model, str):
        name, network = model, None
    else:
        name, network = f"{type(model).__module__}.{type(model).__qualname__}", model
    if resume:
        run_options = recorded(TrainOptions, folder, stream)
        refuse_new_options(folder, [*others, *(["options"] if options else [])])
    else:
        given = {**others, "stream": stream, "model": name, "options": options or {}}
        run_options = from_flat(TrainOptions, given)
    stages.train(
        opened,
        folder,
        run_options,
        resume=resume,
        overwrite=overwrite,
        listener=listener,
        network=network,
    )
    return Run(folder)


def run_protocol(
    cache: str | Path,
    *,
    runs: Mapping[str, Mapping[str, Any]],
    folder: str | Path = "runs/protocol",
    ensembles: Sequence[Ensemble] | None = None,
    views: str = "",
    listener: Listener = SILENT,
    **options: Any,
) -> dict[str, Any]:
    """Train and test all folds of a data set with all seeds, and take them together.

    What is done already is not done again, so a call that was killed is repeated.

    Args:
        cache: the folder of a cache.
        runs: what is trained in each fold, by name, with the options of `twostream train --help`:
            {"spatial": {}, "temporal": {"steps": 400}}.
        folder: of the protocol.
        ensembles: what is fused, and how; by default all runs, whose probabilities are averaged.
        views: clips, crops and average with which all runs are scored, as "25x10-softmax"; by default
            those of their trainings.
        listener: is told how it goes.
        options: of `twostream protocol --help`: scheme, folds, groups, seeds, …

    Returns the figures that the command writes into `results.json`; see `protocol.summary`.
    Raises UserError for an option that there is not, a folder with another protocol, and videos that
    cannot be divided so; RuntimeError where another process is still at work on a part.
    """
    if views:
        Views.of_text(views)  # told before anything is trained
    opened = FlowCache.open(cache)
    planned = {name: train_options(name, given) for name, given in runs.items()}
    protocol = begin(
        opened, Path(folder), from_flat(ProtocolOptions, options), planned, listener.say
    )
    if ensembles is None:
        ensembles = [Ensemble(FUSED, tuple(runs))] if len(runs) > 1 else []
    refuse_unfit(protocol, ensembles)
    if left := work(protocol, opened, listener=listener):
        raise RuntimeError(f"another process is at work on {left[0]}: call again when it has ended")
    if views:
        score_views(protocol, opened, views, listener=listener)
    return figures(protocol, opened, ensembles, views)


def save(model: Normalized, path: str | Path, *, like: Run | str | Path) -> None:
    """Write a checkpoint of a network that was trained by one's own loop.

    like: a run of the same model, classes, clips and split, whose description it takes over; so it can be
    loaded, evaluated and fused like any other. Raises UserError where the network is of another form.
    """
    folder = like.folder if isinstance(like, Run) else Path(like)
    template, spec = load_checkpoint(folder / files.BEST)
    # The network saw the values of `Clips`; the run's clips are integers of its cache.
    state = {**model.state_dict(), "scale": model.scale_for(template.step)}
    try:
        template.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).partition("\n")[2].strip().partition("\n")[0]
        raise UserError(
            f"the network is of another form than that of {folder}: {reason}", "like"
        ) from None
    content: dict[str, Any] = {
        "state_dict": {f"model.{name}": value for name, value in template.state_dict().items()}
    }
    add_spec(content, spec)
    write_checkpoint(content, Path(path))


class LoadedRuns(Predictor):
    """Runs for new videos: a call names the action of one, and `timeline` says when it is done."""

    def timeline(
        self,
        video: str | Path,
        *,
        weights: Weights = (),
        rule: str = "softmax",
        crops: int = 1,
        average: Average = "logits",
        **options: Any,
    ) -> Timeline:
        """What is done when in a long video; see `timeline.predict.predict_timeline`.

        options: those of `TimelineOptions`: hop, window, min_length, threshold.

        Raises UserError for an option that there is not, and as `predict_timeline`.
        """
        chosen = from_flat(TimelineOptions, options)
        return predict_timeline(
            self, video, chosen, weights=weights, rule=rule, crops=crops, average=average
        )


def load(*runs: str | Path | Run, networks: Mapping[str, nn.Module] | None = None) -> LoadedRuns:
    """The networks of one or several runs, for new videos: `load("runs/temporal")("v.mp4")`.

    runs: their folders, or files that `export` wrote.

    networks: of one's own, by the names of the runs' folders; they get the trained weights.

    Raises UserError for a folder without a network, and where not all know the same classes.
    """
    folders = [run.folder if isinstance(run, Run) else Path(run) for run in runs]
    return LoadedRuns(folders, networks or {})


def export(
    run: str | Path | Run, output: str | Path, *, network: nn.Module | None = None
) -> Exported:
    """Write the network of a run for other programs: `export("runs/temporal", "temporal.onnx")`.

    output: its ending is its format: .onnx, .pt2 or .safetensors. network: of one's own, which gets the
    trained weights. `load` takes the written file in place of the run, but for a .pt2.

    Raises UserError for another ending, for a network that cannot be written so, and where its logits
    differ from PyTorch's by more than 1e-3; then there is no file.
    """
    return write_exported(run.folder if isinstance(run, Run) else Path(run), Path(output), network)


def fuse(
    scores: Sequence[Scores | np.ndarray],
    weights: Weights | float | None = None,
    *,
    rule: str = "softmax",
    labels: Sequence[int] | None = None,
    held_out: Sequence[Scores] = (),
) -> Scores:
    """Fuse the scores of the same videos.

    Args:
        scores: `Scores`, joined by the videos' ids, or logits (N, K) whose rows are the same videos.
        weights: one for each, the share of the second of two, or "fit" for the shares that suit
            `held_out` best; by default all alike.
        rule: one of those that `twostream fuse --help` lists.
        labels: (N,), where logits are given.
        held_out: scores by the same networks, in the same order, of videos that were held out of the
            training, as `Run.validation_scores`; for rules that are fitted, and for weights that are.

    Raises ScoresError where they do not belong together, and where a video is among both; UserError for
    weights or a rule that cannot be, and where something is to be fitted without `held_out`.
    """
    if held_out and len(held_out) != len(scores):
        raise UserError(
            f"{len(scores)} scores are to be fused, and {len(held_out)} are held out: give one for each",
            "held_out",
        )
    named = [_as_scores(one, number, labels) for number, one in enumerate(scores)]
    names = [one.name for one in named]
    held_out = [replace(one, name=name) for one, name in zip(held_out, names, strict=False)]
    told: Weights = ()
    if isinstance(weights, str):
        told = weights
    elif weights is not None:
        told = np.atleast_1d(weights).tolist()
    return rule_for(rule, names, told, held_out)(align(named))


def _as_scores(one: Scores | np.ndarray, number: int, labels: Sequence[int] | None) -> Scores:
    if isinstance(one, Scores):
        return replace(one, name=f"{number}: {one.name}")  # two may be of one stream
    logits = np.asarray(one, np.float32)
    rows = len(logits)
    return Scores(
        name=f"{number}",
        ids=tuple(str(row) for row in range(rows)),
        logits=logits,
        labels=np.full(rows, -1) if labels is None else np.asarray(labels, np.int64),
        classes=tuple(str(column) for column in range(logits.shape[1])),
        trained_on=(),
    )
