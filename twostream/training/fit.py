"""Teach one network: the Lightning module and `fit`."""

import csv
import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy

from flowcache.atomic import write_csv
from flowcache.errors import UserError

BEST, LAST = "best.ckpt", "last.ckpt"
METRICS = "metrics.csv"
Row = Mapping[str, float]
Objective = Callable[[Tensor, Tensor, str], tuple[Tensor, Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the weights are moved.

    epochs: passes over the training videos, one random clip of each.
    learning_rate: the highest; it rises over the first `warmup` share of the steps and falls to 0
        along a cosine (Loshchilov & Hutter 2017).
    weight_decay: on weights of two or more dimensions; not on biases and normalisation.
    partial_bn: freeze the statistics of all batch normalisations but the first (Wang et al. 2016,
        TSN, section 3.2), for fine-tuning.
    seed: of dropout and of masks; the data has its own.
    """

    epochs: int
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.0
    partial_bn: bool = False
    seed: int = 0


class Classification(nn.Module):
    """Cross-entropy of logits (B, K) and labels (B,), and how many of the highest are right.

    label_smoothing: in training; never in validation.
    """

    def __init__(self, classes: int, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self._label_smoothing = label_smoothing
        self._top1 = nn.ModuleDict(
            {
                "train_top1": MulticlassAccuracy(classes, average="micro"),
                "val_top1": MulticlassAccuracy(classes, average="micro"),
            }
        )

    def forward(self, logits: Tensor, label: Tensor, part: str) -> tuple[Tensor, dict[str, Any]]:
        """The loss, and a running accuracy as `<part>_top1`; part: "train" or "val"."""
        smoothing = self._label_smoothing if part == "train" else 0.0
        name = f"{part}_top1"
        self._top1[name](logits, label)
        loss = functional.cross_entropy(logits, label, label_smoothing=smoothing)
        return loss, {name: self._top1[name]}


def own_loss(loss: Tensor, label: Tensor, part: str) -> tuple[Tensor, dict[str, Any]]:
    """For networks that return their loss, as in pretraining: the labels are not looked at."""
    return loss, {}


class Training(lightning.LightningModule):
    """Lowers what `objective` makes of `model(clip, mean, gain)`.

    objective: (output, labels, "train" or "val") → the loss, and further measures by name, as
        `Classification` and `own_loss`.
    describe: is given each checkpoint before it is written.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        schedule: Schedule,
        describe: Callable[[dict[str, Any]], None],
    ) -> None:
        super().__init__()
        self.model = model
        self._objective = objective
        self._schedule = schedule
        self._describe = describe

    def training_step(self, batch: Any, _: int) -> Tensor:
        """The loss of one batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: Any, _: int) -> None:
        """Log the loss and the measures of one batch."""
        self._step(batch, "val")

    def _step(self, batch: Any, part: str) -> Tensor:
        output = self.model(batch.clip, batch.mean, batch.gain)
        loss, measures = self._objective(output, batch.label, part)
        shared: dict[str, Any] = {
            "on_step": False,
            "on_epoch": True,
            "batch_size": len(batch.label),
        }
        self.log(f"{part}_loss", loss, sync_dist=True, **shared)
        for name, value in measures.items():
            self.log(name, value, **shared)
        return loss

    def on_train_epoch_start(self) -> None:
        """Dropout and masks depend on the seed and the epoch alone, so a resumed run repeats them.

        And statistics that are to stay frozen are frozen again.
        """
        entropy = [self._schedule.seed, self.current_epoch, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        if self._schedule.partial_bn:
            norms = [m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
            for norm in norms[1:]:
                norm.eval()

    def on_validation_epoch_start(self) -> None:
        """What a network masks in validation is the same after each epoch: the losses are compared."""
        torch.manual_seed(self._schedule.seed)

    def configure_optimizers(self) -> Any:
        """AdamW or SGD with momentum 0.9, and a learning rate that changes at every step."""
        plan = self._schedule
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer: torch.optim.Optimizer
        if plan.optimizer == "adamw":
            optimizer = torch.optim.AdamW(
                groups, plan.learning_rate, weight_decay=plan.weight_decay
            )
        else:
            optimizer = torch.optim.SGD(
                groups, plan.learning_rate, momentum=0.9, weight_decay=plan.weight_decay
            )
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = max(1, round(plan.warmup * steps))

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": rate, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the checkpoint say what it is."""
        self._describe(checkpoint)


def fit(
    training: Training,
    data: lightning.LightningDataModule,
    folder: Path,
    *,
    epochs: int,
    validated: bool,
    resume: bool,
    on_epoch: Callable[[Row], None] = lambda _: None,
    progress_bar: bool = False,
    **trainer_options: Any,
) -> lightning.Trainer:
    """Train; leaves `best.ckpt`, `last.ckpt` and `metrics.csv` in `folder`.

    The best epoch is the one with the lowest validation loss: finer than accuracy where there are few
    videos, and fusion averages probabilities, so how sure a network is counts. Where nothing is held
    out for validation (`validated` is False), the last epoch counts as the best.

    resume: go on from `last.ckpt`, to the result of an undisturbed run.
    trainer_options: `lightning.Trainer`'s, such as precision, devices, num_nodes, strategy.
    """
    shared: dict[str, Any] = {
        "dirpath": folder,
        "enable_version_counter": False,
        "save_on_train_epoch_end": True,
    }
    callbacks: list[Callback] = [
        _Best(filename="best", monitor="val_loss" if validated else None, **shared),
        _Last(filename="last", **shared),
        _Metrics(folder / METRICS, on_epoch),
    ]
    if progress_bar:
        callbacks.append(RichProgressBar(leave=False))
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Advice on loaders and logging intervals; how many workers there are is the user's choice.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings(
            "ignore", message=".*number of training batches.*logging interval.*"
        )
        warnings.filterwarnings(
            "ignore", message=".*Checkpoint directory .* exists and is not empty.*"
        )
        warnings.filterwarnings(
            "ignore", message=".*`isinstance.treespec, LeafSpec.` is deprecated.*"
        )
        trainer = _trainer(
            max_epochs=epochs,
            callbacks=callbacks,
            logger=False,
            enable_progress_bar=progress_bar,
            enable_model_summary=False,
            use_distributed_sampler=False,  # the sampler knows its rank
            num_sanity_val_steps=0,
            deterministic="warn",
            **trainer_options,
        )
        trainer.fit(
            training, data, ckpt_path=str(folder / LAST) if resume else None, weights_only=True
        )
    return trainer


def _trainer(**options: Any) -> lightning.Trainer:
    try:
        return lightning.Trainer(**options)
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"accelerator, devices, number of nodes, strategy or precision: {reason}", "devices"
        ) from error


class _Best(ModelCheckpoint):
    """The best epoch so far, also where the run's folder was moved before it was resumed."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        folder = str(self.dirpath)

        def moved(path: str) -> str:
            return str(Path(folder) / Path(path).name) if path else path

        paths = ("best_model_path", "last_model_path", "kth_best_model_path")
        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(
            state_dict
            | {name: moved(state_dict[name]) for name in paths}
            | {"dirpath": folder, "best_k_models": best}
        )


class _Last(_Best):
    """The last epoch; a class of its own, because Lightning tells callbacks' states by class."""


class _Metrics(Callback):
    """One row an epoch; a resumed run drops the rows of the epochs that it repeats."""

    def __init__(self, path: Path, on_epoch: Callable[[Row], None]) -> None:
        self._path, self._on_epoch = path, on_epoch
        self._rows: list[dict[str, Any]] = []
        self._start = 0.0

    def on_train_start(self, trainer: lightning.Trainer, _: Any) -> None:
        if trainer.current_epoch > 0 and self._path.exists():
            with self._path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            self._rows = [row for row in rows if int(row["epoch"]) <= trainer.current_epoch]

    def on_train_epoch_start(self, *_: Any) -> None:
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: Any) -> None:
        if not trainer.is_global_zero:
            return
        row: dict[str, Any] = {"epoch": trainer.current_epoch + 1}
        row |= {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        row["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        row["seconds"] = round(time.monotonic() - self._start, 2)
        self._rows.append(row)
        write_csv(self._path, [list(row), *([one[name] for name in row] for one in self._rows)])
        self._on_epoch(row)
