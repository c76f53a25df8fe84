"""Where the measures of a training go beside its own `metrics.csv`: Lightning's loggers, by name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from flowcache.errors import UserError
from twostream.runs.training_options import LoggerName

LOGS = "logs"
"""The folder in a run's own where the logs of CSV and TensorBoard lie: `version_0` of its first start."""


def require_logger(name: LoggerName) -> None:
    """UserError where the package that a logger needs is not installed."""
    if name in ("tensorboard", "wandb") and find_spec(name) is None:
        raise UserError(
            f"the logger {name} needs a package that is not installed: pip install 'twostream[{name}]'",
            "logger",
        )


@contextmanager
def logger_for(
    name: LoggerName, folder: Path, told: Mapping[str, Any]
) -> Iterator[Logger | Literal[False]]:
    """A logger for a run in a folder while it trains; False, as Lightning wants it, for "none".

    told: what the run was told, which the logger shows beside the measures.

    Every start of a run, also a resumption, is a version of its own. Raises UserError where the package
    is not installed, and where W&B cannot be reached.
    """
    require_logger(name)
    if name == "none":
        yield False
        return
    logger = _weights_and_biases(folder) if name == "wandb" else _files(name, folder)
    logger.log_hyperparams(dict(told))
    status = 1
    try:
        yield logger
        status = 0
    finally:
        if isinstance(logger, WandbLogger):
            # Or the next run of this process would go on with it; and 1 shows it as one that failed.
            logger.experiment.finish(exit_code=status)


def _files(name: LoggerName, folder: Path) -> Logger:
    if name == "csv":
        return CSVLogger(folder, name=LOGS)
    return TensorBoardLogger(folder, name=LOGS, default_hp_metric=False)


def _weights_and_biases(folder: Path) -> Logger:
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    logger = WandbLogger(name=folder.name, save_dir=folder, project="twostream")
    try:
        _ = logger.experiment  # begins the run
    except wandb.Error as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"W&B refused: {reason}: log in by `wandb login`, or set WANDB_MODE=offline", "logger"
        ) from error
    return logger
