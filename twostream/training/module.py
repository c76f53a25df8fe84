"""What is minimised, and how the weights are moved: the Lightning module."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy

from twostream.runs.training_options import Schedule
from twostream.training.weight_decay import decayed_names

Objective = Callable[[Tensor, Tensor, str], tuple[Tensor, Mapping[str, Any]]]


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
    """Minimises the loss that `objective` computes from the output of `model(clip, mean, gain)`.

    objective: (output, labels, "train" or "val") → the loss, and further measures by name, as
        `Classification` and `own_loss`.
    describe: is given each checkpoint before it is written.
    seed: of dropout and of masks; the data has its own.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        schedule: Schedule,
        describe: Callable[[dict[str, Any]], None],
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self._objective = objective
        self._schedule = schedule
        self._describe = describe
        self._seed = seed

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
        entropy = [self._seed, self.current_epoch, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        if self._schedule.partial_bn:
            norms = [m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
            for norm in norms[1:]:
                norm.eval()

    def on_validation_epoch_start(self) -> None:
        """What a network masks in validation is the same after each epoch: the losses are compared."""
        torch.manual_seed(self._seed)

    def configure_optimizers(self) -> Any:
        """AdamW or SGD with momentum 0.9, and a learning rate that changes at every step."""
        plan = self._schedule
        decayed = decayed_names(self.model)
        named = list(self.model.named_parameters())
        groups: list[dict[str, Any]] = [
            {"params": [p for name, p in named if name in decayed]},
            {"params": [p for name, p in named if name not in decayed], "weight_decay": 0.0},
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
