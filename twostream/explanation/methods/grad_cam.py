"""Grad-CAM: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, section 3.

Each channel of the last maps is weighted by the mean of the class's gradient over it (equation 1), and
of their sum what speaks for the class is kept (equation 2). The last maps are those of the last layer
that has more than one place in a picture, which is found by running the network.
"""

from dataclasses import dataclass

from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.explanation.maps import enlarge
from twostream.explanation.methods._last_maps import last_maps
from twostream.prediction.networks import Network


@dataclass(frozen=True)
class GradCAM:
    """For convolutional networks; one pass forward and one back."""

    def __call__(self, network: Network, clip: Clip, label: int) -> Float32:
        """See `explanation.methods`."""
        maps, gradient = last_maps(network, clip, label, "grad_cam")
        weights = gradient.mean((2, 3, 4), keepdim=True)
        # Pictures that a 2-D network saw one by one follow one another in time.
        coarse = (weights * maps).sum(1).clamp_min(0).flatten(0, 1)
        shape = (clip.values.shape[1], *clip.values.shape[3:])
        return enlarge(coarse.float().cpu().numpy(), shape)


def create() -> GradCAM:
    """Grad-CAM."""
    return GradCAM()
