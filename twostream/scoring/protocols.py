"""How papers test a network on a video: how many clips and crops, and what is averaged over them.

Clips are evenly spaced from the first possible one to the last. How long they are and how they are cut is
said by the run.
"""

from collections.abc import Mapping

from twostream.runs.views import Views

TWO_STREAM_2014 = Views(clips=25, crops=10, average="softmax")
"""Simonyan & Zisserman 2014, "Two-Stream Convolutional Networks", section 5, "Testing".

25 frames of equal spacing, of each the four corners and the centre, also mirrored. The paper averages
"class scores", and those of a stream are its softmax scores (section 2).
"""

C3D = Views(clips=10, crops=1, average="softmax")
"""Tran et al. 2015, "Learning Spatiotemporal Features with 3D Convolutional Networks", section 3.3.

One centre crop of each clip; the predictions of 10 clips are averaged. The paper draws the clips at
random, and here they are evenly spaced, so that a test can be repeated.
"""

TSN = Views(clips=25, crops=10, average="logits")
"""Wang et al. 2016, "Temporal Segment Networks", section 3.3.

The samples and crops of the two-stream networks, averaged before the softmax.
"""

I3D = Views(clips=10, crops=1, average="logits")
"""Carreira & Zisserman 2017, "Quo Vadis, Action Recognition?", section 2.5.

The paper applies the network convolutionally to all frames of the video, at the centre crop, and averages
its predictions over time, which are logits. A network here takes clips of one length: 10 of them leave no
frame out of a video that is at most 10 clips long, as Kinetics' 250 frames are with clips of 64.
"""

NON_LOCAL = Views(clips=10, crops=3, average="softmax")
"""Wang et al. 2018, "Non-local Neural Networks", section 4.1.

The softmax scores of 10 clips are averaged. The paper applies the network to the whole picture; three
crops along the longer side stand for that, as in Feichtenhofer et al. 2019, "SlowFast Networks for Video
Recognition", section 4.
"""

PROTOCOLS: Mapping[str, Views] = {
    "two-stream-2014": TWO_STREAM_2014,
    "c3d": C3D,
    "tsn": TSN,
    "i3d": I3D,
    "non-local": NON_LOCAL,
}
"""By the name that a user gives."""
