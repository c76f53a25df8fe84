"""Any network of the timm library: Wightman, "PyTorch Image Models", 2019. Needs `twostream[timm]`."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from flowcache.errors import UserError
from twostream.nets.layers import ClipSizeError
from twostream.nets.pretrained import Pretrained


class Timm(nn.Module):
    """(B, C, H, W) → logits (B, K), or features (B, width)."""

    def __init__(self, variant: str, channels: int, classes: int | None, dropout: float) -> None:
        super().__init__()
        timm = _library()
        if variant not in timm.list_models():
            raise UserError(
                f"timm has no network {variant!r}: `timm.list_models()` lists {len(timm.list_models())}"
            )
        self.model = timm.create_model(
            variant, in_chans=channels, num_classes=classes or 0, drop_rate=dropout
        )
        self._variant = variant
        known = self.model.pretrained_cfg
        first_layers, heads = _names(known["first_conv"]), _names(known["classifier"])
        self.pretrained = Pretrained(
            first_layer=next(iter(first_layers), ""),
            head=next(iter(heads), ""),
            unused=() if classes else heads,
            published=partial(_published, variant),
            mean=known["mean"],
            std=known["std"],
        ).under("model.")
        self.width = self.model.head_hidden_size

    @property
    def map_widths(self) -> tuple[int, ...]:
        """Channels of each map."""
        return tuple(info["num_chs"] for info in self.model.feature_info)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The last map of each resolution."""
        found: list[Tensor] = self.model.forward_intermediates(x, intermediates_only=True)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, K)."""
        try:
            out: Tensor = self.model(x)
        except AssertionError as error:  # networks for pictures of one size say so in this way
            raise ClipSizeError(f"timm/{self._variant}: {error}", "crop") from None
        return out


def _names(told: Any) -> tuple[str, ...]:
    """The names of layers that timm tells: one, several, or none."""
    return (told,) if isinstance(told, str) else tuple(told or ())


def _published(variant: str) -> Mapping[str, Tensor]:
    """Fetch the pretrained weights that timm names for this network."""
    state: Mapping[str, Tensor] = _library().create_model(variant, pretrained=True).state_dict()
    return state


def _library() -> Any:
    try:
        import timm
    except ImportError as error:
        raise UserError(
            f"networks of timm need its package ({error}): pip install 'twostream[timm]'"
        ) from None
    except RuntimeError as error:  # a torchvision made for another torch fails while it is imported
        raise UserError(f"timm cannot be imported: {error}") from None
    return timm


def create(
    *, channels: int, classes: int | None, dropout: float = 0.0, variant: str = "resnet18"
) -> Timm:
    """A network of timm for pictures of `channels` channels."""
    return Timm(variant, channels, classes, dropout)
