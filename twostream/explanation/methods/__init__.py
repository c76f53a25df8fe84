"""Ways to find what in a clip speaks for a class, one a file; the module's name is the name users give.

Each exposes `create`, which makes a callable (network, clip, label) → map. It is given a
`prediction.networks.Network`, a `Clip` of one view (1, T, C, H, W) and the number of a class. The map is
float32 (T, H, W), the higher the more a place speaks for the class; its unit is the method's own. Raises
UserError for a network that the method cannot be used with.
"""

AUTO = "auto"
"""Attention roll-out for transformers, HiResCAM for convolutional networks, and RISE for all others.

HiResCAM and not Grad-CAM because of their deletion curves on flow, see docs/explanations.md.
"""
