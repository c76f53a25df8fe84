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

from twostream.nets.normalize import Normalized
from twostream.runs.training_options import Schedule
from twostream.training.mixing import mix
from twostream.training.parameter_groups import freeze_body, parameter_groups

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
        """The loss, and a running accuracy as `<part>_top1`; part: "train" or "val".

        Or "mixed", for the label that a mixed clip has beside its own: it has a loss and no accuracy.
        """
        smoothing = 0.0 if part == "val" else self._label_smoothing
        loss = functional.cross_entropy(logits, label, label_smoothing=smoothing)
        name = f"{part}_top1"
        if name not in self._top1:
            return loss, {}
        self._top1[name](logits, label)
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
        model: Normalized,
        objective: Objective,
        schedule: Schedule,
        describe: Callable[[dict[str, Any]], None],
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self._objective = objective
        self._schedule = schedule.filled({})
        if self._schedule.body_rate == 0:
            freeze_body(model)  # before processes agree on which gradients they share
        self._describe = describe
        self._seed = seed

    def training_step(self, batch: Any, _: int) -> Tensor:
        """The loss of one batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: Any, _: int) -> None:
        """Log the loss and the measures of one batch."""
        self._step(batch, "val")

    def _step(self, batch: Any, part: str) -> Tensor:
        if part == "train":
            loss, measures = self._train_loss(batch)
        else:
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

    def _train_loss(self, batch: Any) -> tuple[Tensor, Mapping[str, Any]]:
        """The loss of a batch that has a clip of each segment of its videos, perhaps mixed."""
        segments = self._schedule.segments
        values = self.model.normalise(batch.clip, batch.mean, batch.gain)
        mixed = mix(values, segments, self._schedule)
        output = self.model.network(mixed.values)
        label = batch.label[::segments]
        # The consensus of Wang et al. 2016, "Temporal Segment Networks", section 3.1.
        if segments > 1 and output.ndim > 1:
            output = output.unflatten(0, (-1, segments)).mean(1)
        loss, measures = self._objective(output, label, "train")
        if mixed.share < 1:
            other, _ = self._objective(output, label[mixed.partner], "mixed")
            loss = mixed.share * loss + (1 - mixed.share) * other
        return loss, measures

    def on_train_epoch_start(self) -> None:
        """Dropout and masks depend on the seed and the epoch alone, so a resumed run repeats them.

        And statistics that are to stay frozen are frozen again.
        """
        entropy = [self._seed, self.current_epoch, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        norms = [m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        learning = len(norms)
        if self._schedule.body_rate == 0:
            learning = 0
        elif self._schedule.partial_bn:
            learning = 1
        for norm in norms[learning:]:
            norm.eval()

    def on_validation_epoch_start(self) -> None:
        """What a network masks in validation is the same after each epoch: the losses are compared."""
        torch.manual_seed(self._seed)

    def configure_optimizers(self) -> Any:
        """AdamW or SGD with momentum 0.9, and a learning rate that changes at every step."""
        plan = self._schedule
        groups = parameter_groups(self.model, plan)
        optimizer: torch.optim.Optimizer
        if plan.optimizer == "adamw":
            optimizer = torch.optim.AdamW(groups, plan.learning_rate)
        else:
            optimizer = torch.optim.SGD(groups, plan.learning_rate, momentum=0.9)
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = max(1, round(plan.warmup * steps))

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            if plan.decay == "late":
                return 0.1 ** ((step >= 0.6 * steps) + (step >= 0.8 * steps))
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": rate, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the checkpoint say what it is."""
        self._describe(checkpoint)
