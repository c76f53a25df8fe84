"""What a run can be told. Each option is declared here or in `data.clip_spec`, and nowhere else."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, Self, TypeVar

from flowcache.errors import UserError
from twostream.data.clip_spec import ClipSpec, Crops
from twostream.option_fields import check, option

StreamName = Literal["spatial", "temporal", "bidirectional", "difference"]

LoggerName = Literal["none", "csv", "tensorboard", "wandb"]

Average = Literal["logits", "softmax"]
"""What is averaged over the clips and crops of a video."""

_FEWEST_STEPS = 600
_FEWEST_VISITS = 30
_USUAL_REPEATS = 4


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the weights of a network are moved."""

    epochs: int | None = option(
        None,
        help="How many times the network is trained on every video, and then validated and kept.",
        at_least=1,
        shown_default="as many as make the steps",
    )
    steps: int | None = option(
        None,
        help="Steps of the optimiser at the least, in whole epochs; several devices share them.",
        at_least=1,
        shown_default=f"the model's, or else {_FEWEST_STEPS}, and at least {_FEWEST_VISITS} clips of "
        "each video",
    )
    repeats: int | None = option(
        None,
        help="Clips of each training video in an epoch.",
        at_least=1,
        shown_default=f"{_USUAL_REPEATS}, or 1 where a number of epochs is given",
    )
    segments: int = option(
        usual=1,
        help="Equal parts of a video; a clip of each is seen together, and their logits averaged (TSN).",
        at_least=1,
    )
    batch_size: int = option(
        usual=16,
        help="Videos in a batch, a clip of each segment.",
        at_least=1,
    )
    optimizer: Literal["adamw", "sgd"] = option(
        "adamw", help="AdamW, or SGD with a momentum of 0.9."
    )
    learning_rate: float = option(
        1e-3,
        help="The highest rate, to which it rises at first.",
        above=0,
    )
    decay: Literal["cosine", "late"] = option(
        "cosine",
        help="How the rate falls: along a cosine to 0, or to a tenth after 60 % and again after 80 % of "
        "the steps.",
    )
    body_rate: float = option(
        usual=1.0,
        help="The factor of the rate of all layers but the last; 0 freezes them.",
        at_least=0,
        at_most=1,
    )
    layer_decay: float = option(
        1.0,
        help="The factor of the rate from each layer to the one before it, as 0.75: early layers learn "
        "slowly (BEiT).",
        above=0,
        at_most=1,
    )
    warmup: float = option(
        0.1, help="The share of the steps in which the learning rate rises.", at_least=0, at_most=1
    )
    weight_decay: float = option(
        0.05, help="Decay of kernels and matrices; biases and normalisation have none.", at_least=0
    )
    partial_bn: bool = option(
        False, help="Freeze the statistics of all batch normalisations but the first (TSN)."
    )
    ema: float = option(
        usual=0.0,
        help="Decay of a moving average of the weights, as 0.99, which is validated and kept; 0: none.",
        at_least=0,
        below=1,
    )
    mixup: float = option(
        usual=0.0,
        help="MixUp of pairs of clips and their labels: the parameter of the beta distribution of their "
        "shares; 0: none.",
        at_least=0,
    )
    cutmix: float = option(
        0.0,
        help="CutMix, a rectangle of one clip pasted over another: the parameter of the beta "
        "distribution of its area; 0: none.",
        at_least=0,
    )
    erase: float = option(
        0.0,
        help="The share of the clips of which a random rectangle is blanked in all frames.",
        at_least=0,
        at_most=1,
    )
    keep: Literal["best", "last"] = option(
        usual="best",
        help="The epoch that counts: that of the lowest validation loss, or the last.",
    )
    patience: int | None = option(
        None,
        help="Stop after so many epochs in which the validation loss has not fallen.",
        at_least=1,
        shown_default="never",
    )

    def __post_init__(self) -> None:
        """Raises UserError for a value outside its limits."""
        check(self)
        if self.epochs and self.steps:
            raise UserError("give a number of epochs or of steps, not both", "steps")

    def filled(self, recipe: Mapping[str, Any]) -> Self:
        """The same with values for what is left to the model: its recipe's, or else the usual ones."""
        left = {
            each.name: recipe.get(each.name, each.metadata["usual"])
            for each in fields(self)
            if getattr(self, each.name) is None
        }
        if self.epochs:
            left.pop("steps", None)
        return replace(self, **left)

    @property
    def clips_an_epoch(self) -> int:
        """Clips of each training video in an epoch."""
        return self.repeats or (1 if self.epochs else _USUAL_REPEATS)

    def epochs_for(self, videos: int, batches_a_step: int = 1) -> int:
        """How many epochs a training has that learns from so many videos.

        batches_a_step: those that are accumulated, times the processes that share the training.
        """
        plan = self.filled({})
        clips_a_step = plan.batch_size * batches_a_step
        steps_an_epoch = math.ceil(videos * self.clips_an_epoch / clips_a_step)
        visits = math.ceil(_FEWEST_VISITS * videos / clips_a_step)
        steps = self.steps or max(_FEWEST_STEPS, visits)
        return self.epochs or math.ceil(steps / steps_an_epoch)


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """What is known of a cache's videos beside the cache; see `data.index.read_index`."""

    class_list: str | None = option(
        None,
        help="The order of the classes: UCF101's classInd.txt or Something-Something's labels.json.",
        path="file",
    )
    groups: str | None = option(
        None, help="CSV file `video,group`: a group is never divided.", path="file"
    )

    def __post_init__(self) -> None:
        """Paths become text, as they are recorded. Raises UserError for a value outside its limits."""
        for each in fields(self):
            if each.metadata["path"] and getattr(self, each.name) is not None:
                object.__setattr__(self, each.name, str(getattr(self, each.name)))
        check(self)


@dataclass(frozen=True, kw_only=True)
class SplitOptions(IndexOptions):
    """Which videos train, validate, and test; see `data.splits.make_split`."""

    train_list: str | None = option(
        None,
        help="Videos to train on: UCF101's text, Kinetics' CSV or Something-Something's JSON.",
        path="file",
    )
    test_list: str | None = option(
        None, help="Videos to test on, in one of the same formats.", path="file"
    )
    hmdb51: str | None = option(None, help="Folder of HMDB51's split files.", path="folder")
    split_number: int = option(1, help="Which of HMDB51's splits.", at_least=1)
    test_share: float = option(
        0.3,
        help="The share of each class that tests, drawn by groups where no list is given.",
        above=0,
        below=1,
    )
    validation_share: float = option(
        0.2,
        help="The share of the training videos that validate: they choose the epoch (--keep), and fit a "
        "fusion.",
        at_least=0,
        below=1,
    )
    skip_missing: bool = option(False, help="Leave out listed videos that are not in the cache.")

    def __post_init__(self) -> None:
        """Raises UserError for a value outside its limits, and for what the other values make idle."""
        super().__post_init__()
        lists = self.train_list or self.test_list
        if self.hmdb51 and lists:
            raise UserError(
                "HMDB51's split files say what trains and tests: leave out the lists", "hmdb51"
            )
        if self.split_number != 1 and not self.hmdb51:
            raise UserError("a split number is of HMDB51's split files: name them", "split_number")
        if self.skip_missing and not (self.hmdb51 or lists):
            raise UserError(
                "there are no lists of which to skip a video: leave it out", "skip_missing"
            )


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """On what a run is computed: options of Lightning's trainer."""

    accelerator: str = option(
        "auto", help="The kind of device, as Lightning names it: auto, cpu, gpu or mps."
    )
    devices: str | int = option("auto", help="How many devices of that kind.", metavar="N|auto")
    num_nodes: int = option(1, help="How many machines of a cluster.", at_least=1)
    strategy: str = option("auto", help="How several devices work together, as ddp.")
    precision: str = option(
        "32-true", help="The precision of the arithmetic, as 16-mixed or bf16-mixed."
    )
    gradient_clip: float = option(
        0.0, help="The largest norm of a gradient; 0 is no limit.", at_least=0
    )
    accumulate: int = option(1, help="Batches whose gradients make one step.", at_least=1)
    logger: LoggerName = option(  # noqa: RUF009
        "none",
        help="Who is told the measures of each epoch, beside the run's own metrics.csv; the extras "
        "[tensorboard] and [wandb] bring the packages.",
    )

    def __post_init__(self) -> None:
        """A number of devices may come as text. Raises UserError for a value outside its limits."""
        if str(self.devices).lstrip("-").isdecimal():
            object.__setattr__(self, "devices", int(self.devices))
        check(self)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """One run, as `run.json` records it."""

    stream: StreamName = option(  # noqa: RUF009
        help="RGB frames, flow, flow in both directions, or differences of frames."
    )
    model: str = option("efficientnet_lite", help="A name that `twostream models` lists.")
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the model."""

    schedule: Schedule = field(default_factory=Schedule)
    clip: ClipSpec = field(default_factory=ClipSpec)
    split: SplitOptions = field(default_factory=SplitOptions)
    jobs: int = option(2, help="Processes that load clips; 0: none but this one.", at_least=0)
    seed: int = option(
        0, help="The seed of all that is drawn at random.", at_least=0, at_most=2**32 - 1
    )
    trainer: TrainerOptions = field(default_factory=TrainerOptions)

    def __post_init__(self) -> None:
        """Raises UserError for a value outside its limits."""
        check(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """From `asdict`'s result, as JSON returns it. ValueError where it is of another command."""
        if set(plain) != {each.name for each in fields(cls)}:
            raise ValueError("its options are those of another command or version")
        parts: dict[str, Any] = {f.name: f.type for f in fields(cls) if is_dataclass(f.type)}
        built = {
            name: kind.from_plain(plain[name]) if kind is ClipSpec else kind(**plain[name])
            for name, kind in parts.items()
        }
        return cls(**{**plain, **built})


Options = TypeVar("Options", bound=RunOptions)
"""What a function takes and returns that is the same for a training and a pretraining."""


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(RunOptions):
    """One pretraining without labels."""

    model: str = option("videomae", help="A model with a pretraining of its own.")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """One training, and the test of its best epoch."""

    init: str = option(
        "auto",
        help="Where the weights start: `pretrained`, the published ones; `none`, at random; a checkpoint "
        "or a file of a state dict; `auto`, the published ones where they are installed.",
        metavar="auto|pretrained|none|FILE",
    )
    label_smoothing: float = option(
        0.1, help="The share of the label that is spread over all classes.", at_least=0, at_most=1
    )
    clips: int = option(
        10, help="Evenly spaced clips of each test video, whose scores are averaged.", at_least=1
    )
    crops: Crops = option(  # noqa: RUF009
        1,
        help="1: the centre; 3: along the longer side; 10: four corners and the centre, each also "
        "mirrored.",
    )
    average: Average = option(  # noqa: RUF009
        "logits",
        help="What is averaged over the clips and crops of a video: logits, or probabilities (softmax).",
    )

    def __post_init__(self) -> None:
        """Raises UserError for a value outside its limits."""
        # As runs of before 2026-11-25 recorded it.
        if self.init is None or self.init == "published":
            object.__setattr__(self, "init", "pretrained" if self.init else "none")
        super().__post_init__()

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """As in `RunOptions`; runs of before 2026-11-26 recorded no average and averaged logits."""
        return super().from_plain({"average": "logits", **plain})
