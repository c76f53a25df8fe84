"""Attention roll-out: Abnar & Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3.

For transformers: how much of the answer comes from each patch, by what each layer attends to. The
arithmetic stands in `nets.rollout`. It knows nothing of classes: the map is the same for each of them.
"""

from dataclasses import dataclass

from flowcache.errors import UserError
from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.explanation.maps import enlarge
from twostream.explanation.torch_model import is_transformer, model_of, seen_by
from twostream.prediction.networks import Network


@dataclass(frozen=True)
class AttentionRollout:
    """For transformers whose `rollout` says how their tokens are joined; one pass forward."""

    def __call__(self, network: Network, clip: Clip, label: int) -> Float32:
        """See `explanation.methods`."""
        import torch

        from twostream.nets.rollout import RecordedAttention, RollsOut

        model = model_of(network, "attention_rollout")
        if not is_transformer(model.network):
            raise UserError(
                "attention_rollout is for transformers, and this network has no `rollout`: choose "
                "hires_cam or rise",
                "method",
            )
        seen = seen_by(model, clip)
        with torch.no_grad(), RecordedAttention() as recorded:
            model.network(seen)
        transformer: RollsOut = model.network  # type: ignore[assignment] # as is_transformer tells
        share = transformer.rollout(recorded.weights, seen.shape)
        shape = (clip.values.shape[1], *clip.values.shape[3:])
        return enlarge(share.float().cpu().numpy(), shape)


def create() -> AttentionRollout:
    """Attention roll-out."""
    return AttentionRollout()
