"""Train a network: checkpoints and measures of each epoch, and the resumption of a killed run."""

import csv
import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    RichProgressBar,
)

from flowcache.atomic import write_csv
from flowcache.errors import UserError
from twostream.runs.files import BEST, EPOCHS, LAST
from twostream.runs.training_options import TrainerOptions
from twostream.training.checkpoint_io import CheckpointFiles
from twostream.training.loggers import logger_for
from twostream.training.module import Training

Row = Mapping[str, float]


def fit(
    training: Training,
    data: lightning.LightningDataModule,
    folder: Path,
    *,
    epochs: int,
    ema: float = 0.0,
    keep: str = "best",
    patience: int | None = None,
    validated: bool,
    resume_from: Path | None,
    before_first_checkpoint: Callable[[], None] | None = None,
    on_epoch: Callable[[Row], None] = lambda _: None,
    progress_bar: bool = False,
    options: TrainerOptions,
    told: Mapping[str, Any] | None = None,
) -> lightning.Trainer:
    """Train; leaves `best.ckpt`, `last.ckpt` and `metrics.csv` in `folder`.

    The best epoch is the one with the lowest validation loss: finer than accuracy where there are few
    videos, and fusion averages probabilities, so how sure a network is counts. Where nothing is held
    out for validation (`validated` is False), the last epoch counts as the best.

    keep: "best", or "last" for the last epoch to count as the best.
    ema: decay of the moving average of the weights that is validated and kept; 0 is none.
    patience: epochs without a lower validation loss after which the training stops.
    resume_from: a checkpoint to go on from, to the result of an undisturbed run.
    before_first_checkpoint: is called once, in the process that writes files.
    options: on what it is computed, and which logger is told of it.
    told: all that the run was told, for that logger.
    """
    shared: dict[str, Any] = {
        "dirpath": folder,
        "enable_version_counter": False,
        "save_on_train_epoch_end": True,
    }
    monitor = "val_loss" if validated and keep == "best" else None
    first = [_Before(before_first_checkpoint)] if before_first_checkpoint else []
    callbacks: list[Callback] = [
        *first,
        _Best(filename=Path(BEST).stem, monitor=monitor, **shared),
        _Last(filename=Path(LAST).stem, **shared),
        _Metrics(folder / EPOCHS, on_epoch),
    ]
    if ema:
        callbacks.append(EMAWeightAveraging(decay=ema))
    if patience and validated:
        callbacks.append(_Patience("val_loss", patience=patience))
    if progress_bar:
        callbacks.append(_ProgressBar(leave=False))
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with (
        warnings.catch_warnings(),
        logger_for(options.logger, folder, told or {}) as logger,
    ):
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
            logger=logger,
            plugins=[CheckpointFiles()],
            enable_progress_bar=progress_bar,
            enable_model_summary=False,
            use_distributed_sampler=False,  # the sampler knows its rank
            num_sanity_val_steps=0,
            limit_val_batches=None if validated else 0,
            deterministic="warn",
            **_machines(options),
            precision=options.precision,
            gradient_clip_val=options.gradient_clip or None,
            accumulate_grad_batches=options.accumulate,
        )
        start = None if resume_from is None else str(resume_from)
        with _interrupts_pass():
            trainer.fit(training, data, ckpt_path=start, weights_only=True)
    return trainer


def processes_of(options: TrainerOptions) -> int:
    """How many processes share a training, each with batches of its own."""
    if options.devices == options.num_nodes == 1:
        return 1
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = _trainer(**_machines(options), **silent, enable_checkpointing=False)
    return trainer.num_devices * trainer.num_nodes


def _machines(options: TrainerOptions) -> dict[str, Any]:
    names = ("accelerator", "devices", "num_nodes", "strategy")
    return {name: getattr(options, name) for name in names}


@contextmanager
def _interrupts_pass() -> Iterator[None]:
    """Lightning makes of Ctrl-C the end of the program, and is deaf to it from then on."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


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


class _Before(Callback):
    """Calls `act` just before the first checkpoint: Lightning writes these after all other callbacks."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: Any) -> None:
        if self._act and trainer.is_global_zero:
            self._act()
        self._act = None


class _ProgressBar(RichProgressBar):
    """Counts epochs from 1, as everything else here does."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}".ljust(
            len(self.validation_description)
        )


class _Patience(EarlyStopping):
    """Stops a run that is resumed after it had stopped: Lightning's own would train on."""

    def on_train_start(self, trainer: lightning.Trainer, _: Any) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class _Metrics(Callback):
    """One row an epoch; a resumed run drops the rows of the epochs that it repeats."""

    def __init__(self, path: Path, on_epoch: Callable[[Row], None]) -> None:
        self._path, self._on_epoch = path, on_epoch
        self._rows: list[dict[str, Any]] = []
        self._start = 0.0

    def on_train_start(self, trainer: lightning.Trainer, _: Any) -> None:
        if trainer.current_epoch > 0 and self._path.exists():
            try:
                with self._path.open(newline="", encoding="utf-8") as file:
                    rows = list(csv.DictReader(file, strict=True))
                self._rows = [row for row in rows if int(row["epoch"]) <= trainer.current_epoch]
            except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
                raise UserError(
                    f"{self._path} cannot be read ({error}): delete it, then resume the run"
                ) from None

    def on_train_epoch_start(self, *_: Any) -> None:
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: Any) -> None:
        if not trainer.is_global_zero:
            return
        row: dict[str, Any] = {"epoch": trainer.current_epoch + 1}
        row |= {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        row["learning_rate"] = max(g["lr"] for g in trainer.optimizers[0].param_groups)
        row["seconds"] = round(time.monotonic() - self._start, 2)
        self._rows.append(row)
        write_csv(self._path, [list(row), *([one[name] for name in row] for one in self._rows)])
        self._on_epoch(row)
