"""Networks that are made to look at one thing, and clips in which it is at a known place."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from flowcache import plugins
from flowcache.cache.recipe import Recipe
from twostream import models
from twostream.data.clip_reader import Clip
from twostream.data.clip_spec import ClipSpec
from twostream.data.splits import Split
from twostream.data.streams import STREAMS
from twostream.nets.normalize import Normalized
from twostream.prediction.torch_network import TorchNetwork
from twostream.runs.spec import Spec

CLASSES = ("nothing", "patch")
PATCH = CLASSES.index("patch")
SIDE, LENGTH = 32, 4
PLACES = [(0, 0), (8, 16), (24, 24)]
"""Upper left corners of the patch, on the grid of the transformers' tokens."""
SIZE = 8


def spec_of(stream, *, length=LENGTH, side=SIDE, classes=CLASSES, **clip):
    """Of a network for clips of that stream."""
    recipe = Recipe(
        algorithm="farneback",
        algorithm_version="invented",
        options={},
        frame_step=1,
        size="256",
        bound=20.0,
        quantizer_step=0.25,
        jpeg_quality=95,
    )
    return Spec(
        stream=stream,
        model="invented",
        options={},
        classes=tuple(classes),
        clip=ClipSpec(length=length, stride=1, crop=side, resize=0, **clip),
        recipe=recipe,
        split=Split(train=(), validation=(), test=()),
    )


def network_of(module, spec):
    """A module as prediction sees it."""
    model = Normalized(module, spec.values.scale(spec.recipe)).eval()
    return TorchNetwork(spec, model, torch.device("cpu"))


@dataclass
class Exported:
    """The same network when nothing is known of it but its answers."""

    inner: TorchNetwork

    @property
    def spec(self):
        return self.inner.spec

    def logits(self, clip):
        return self.inner.logits(clip)


def clip_with_patch(stream, place, *, length=LENGTH, side=SIDE, seed=0):
    """Faint noise and a patch that is bright, or moves to the right: (Clip, where it is)."""
    rng = np.random.default_rng(seed)
    channels = STREAMS[stream].channels
    values = rng.integers(0, 10, (1, length, channels, side, side)).astype(np.int16)
    where = np.zeros((length, side, side), bool)
    where[:, place[0] : place[0] + SIZE, place[1] : place[1] + SIZE] = True
    values[0, :, 0][where] = 80
    values = values.astype(np.int8 if stream == "temporal" else np.uint8)
    gain = np.ones((1, channels), np.float32)
    return Clip(values, np.zeros((1, length, channels), np.float32), gain), where


class Detector2d(nn.Module):
    """A convolution that sees what stands out in channel 0, the mean over all places, and a class."""

    def __init__(self, channels, threshold, gain):
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 3, padding=1)
        self.pool = nn.MaxPool2d(4)
        self.fc = nn.Linear(2, 2)
        _detect(self.conv, self.fc, threshold, gain)

    def forward(self, clip):
        maps = self.pool(self.conv(clip.flatten(0, 1)).relu())
        return self.fc(maps.mean((2, 3)).unflatten(0, clip.shape[:2]).mean(1))


class Detector3d(nn.Module):
    """The same in three dimensions."""

    def __init__(self, channels, threshold, gain):
        super().__init__()
        self.conv = nn.Conv3d(channels, 2, 3, padding=1)
        self.pool = nn.MaxPool3d((1, 4, 4))
        self.fc = nn.Linear(2, 2)
        _detect(self.conv, self.fc, threshold, gain)

    def forward(self, clip):
        maps = self.pool(self.conv(clip.transpose(1, 2)).relu())
        return self.fc(maps.mean((2, 3, 4)))


@torch.no_grad()
def _detect(conv, fc, threshold, gain):
    for parameter in (*conv.parameters(), *fc.parameters()):
        parameter.zero_()
    # Map 0 is where there is much in channel 0; map 1 is everywhere alike and speaks for the other class.
    conv.weight[0, 0].view(-1)[conv.weight[0, 0].numel() // 2] = 1
    conv.bias[0], conv.bias[1] = -threshold, 1
    fc.weight[PATCH, 0] = gain
    fc.weight[1 - PATCH, 1] = 3


DETECTORS = {"2d": Detector2d, "3d": Detector3d}


def detector(kind, stream):
    """A convolutional network that is sure of its class where there is a patch."""
    spec = spec_of(stream)
    step = spec.values.scale(spec.recipe)[0]
    threshold = 40 * step
    made = DETECTORS[kind](spec.values.channels, threshold, 8 / (40 * step) * (SIDE / SIZE) ** 2)
    return network_of(made, spec)


TRANSFORMERS = {
    "timesformer": {},
    "videomae": {"tubelet": 2},
    "vivit": {"tubelet": 2, "temporal_depth": 1},
    "vivit, joint": {"tubelet": 2, "encoder": "joint"},
}


@torch.no_grad()
def transformer(kind, stream):
    """One of the zoo whose only layer attends to what there is most of in channel 0, and to little else.

    Number 0 of a token is that, number 2 what attention has found of it.
    """
    spec = spec_of(stream)
    step, channels = spec.values.scale(spec.recipe)[0], spec.values.channels
    options = {"patch": SIZE, "width": 8, "heads": 1, "depth": 1} | TRANSFORMERS[kind]
    name = kind.partition(",")[0]
    if name != "videomae":
        options["size"] = SIDE
    made = plugins.create(
        models, name, channels=channels, length=LENGTH, classes=2, **options
    ).eval()
    for parameter in made.parameters():
        parameter.zero_()
    for module in made.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.fill_(1)
        if hasattr(module, "qkv"):
            bias = module.q_bias if hasattr(module, "q_bias") else module.qkv.bias
            bias[0] = 3 * 8**0.5  # every query asks for number 0 …
            module.qkv.weight[8, 0] = 1  # … of the keys,
            module.qkv.weight[18, 0] = module.qkv.weight[18, 2] = 1
            module.proj.weight[2, 2] = 4
    kernel = made.patch_embed.proj
    kernel.weight[0, 0] = 40 / (80 * step) / kernel.weight[0, 0].numel()
    kernel.bias[1] = 10
    for token in ("cls_token", "time_token"):
        if hasattr(made, token):
            getattr(made, token)[0, 0, 1] = 2
    made.fc.weight[PATCH, 2] = 1
    network = network_of(made, spec)
    clip, _ = clip_with_patch(stream, PLACES[0])
    high, low = (float(network.logits(each)[0, PATCH]) for each in (clip, removed(clip)))
    made.fc.weight[PATCH, 2] = 8 / (high - low)
    made.fc.bias[PATCH] = -4 * (high + low) / (high - low)
    return network


def removed(clip):
    """The clip of which nothing is left but the mean of each plane."""
    mean = clip.values.mean((3, 4), keepdims=True).round().astype(clip.values.dtype)
    return clip._replace(values=np.broadcast_to(mean, clip.values.shape).copy())
