"""HiResCAM: Draelos & Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
neural networks", 2020, arXiv:2011.08891.

Each place of each map is weighted by the class's gradient at that very place, and of the sum over the
maps what speaks for the class is kept. So finer maps can be taken than by Grad-CAM: here those of the
last layer with 7 places or more along each side, or else the same.
"""

from dataclasses import dataclass

from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.explanation.maps import enlarge
from twostream.explanation.methods._last_maps import last_maps
from twostream.prediction.networks import Network

_PLACES = 7  # as many as the last maps of most networks have in a picture of 224 pixels


@dataclass(frozen=True)
class HiResCAM:
    """For convolutional networks; one pass forward and one back."""

    def __call__(self, network: Network, clip: Clip, label: int) -> Float32:
        """See `explanation.methods`."""
        maps, gradient = last_maps(network, clip, label, "hires_cam", _PLACES)
        # Pictures that a 2-D network saw one by one follow one another in time.
        coarse = (gradient * maps).sum(1).clamp_min(0).flatten(0, 1)
        shape = (clip.values.shape[1], *clip.values.shape[3:])
        return enlarge(coarse.float().cpu().numpy(), shape)


def create() -> HiResCAM:
    """HiResCAM."""
    return HiResCAM()
