"""How near the flow of a GPU is to the CPU's; for `gpu_flow`."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import common
import cv2
import numpy as np
import torch
from torch import Tensor

from flowcache import algorithms
from flowcache.algorithms.tvl1 import torch as in_pytorch
from flowcache.types import Float32, UInt8
from gpu.setting import PROFILES, Setting, agreement, clips, host, show

Truth = tuple[Float32, Any] | None
"""The flow (2, H, W), and where it is known."""


def accuracy(setting: Setting) -> None:
    if not hasattr(cv2, "optflow"):
        print("this OpenCV is without optflow, so tvl1_opencv is left out\n")
    lines = []
    for name, gray, truth in pairs(setting):
        for profile in PROFILES:
            flows = flows_of(setting, profile, gray)
            references = list(flows)[2:]  # the CPU's
            for key, flow in flows.items():
                for reference in references:
                    if key != reference and (key not in references or key == references[0]):
                        agreed = agreement(flow, flows[reference])
                        lines.append([name, profile, key, reference, *agreed, error(flow, truth)])
    header = ["pair", "profile", "", "against", "within 0.1 px", "mean px", "max px", "error px"]
    show(header, lines, "Flow on this device and on the CPU")


def flows_of(setting: Setting, profile: str, gray: UInt8) -> dict[str, Any]:
    """The flow of each backend, and of OpenCV's program, (2, H, W)."""
    given = [torch.from_numpy(gray).to(setting.device)]
    flows = {
        backend: setting.tvl1(backend, profile).solve(given, 1)[0]
        for backend in ("triton", "torch")
    }
    flows["cpu"] = setting.tvl1("cpu", profile, exact=False)(gray).data[0]
    if profile == "opencv" and hasattr(cv2, "optflow"):
        flows["tvl1_opencv"] = algorithms.create("tvl1_opencv", **setting.changed)(gray).data[0]
    return flows


def half_duals(setting: Setting, depth: int) -> None:
    """What p loses as float16 in memory, where tiles store it after `depth` iterations."""
    lines = []
    for name, gray, truth in pairs(setting):
        for profile in PROFILES:
            solver = setting.tvl1("torch", profile)
            given = [torch.from_numpy(gray).to(setting.device)]
            expected = solver.solve(given, 1)[0]
            with rounded_duals(depth):
                flow = solver.solve(given, 1)[0]
            errors = error(expected, truth), error(flow, truth)
            lines.append([name, profile, *agreement(flow, expected), *errors])
    header = ["pair", "profile", "within 0.1 px", "mean px", "max px", "error px", "with float16"]
    show(header, lines, f"p as float16 every {depth} iterations, against float32")


@contextlib.contextmanager
def rounded_duals(depth: int) -> Iterator[None]:
    """Send p through float16 after each `depth` iterations, and after the last, as kernels would."""
    relaxed, ascended = in_pytorch.relaxed, in_pytorch.ascended
    count = inner = 0

    def begun(options: Any, *rest: Tensor) -> Any:
        nonlocal count, inner
        count, inner = 0, options.inner_iterations
        return relaxed(options, *rest)

    def stored(*given: Any) -> Tensor:
        nonlocal count
        p, count = ascended(*given), (count + 1) % inner
        return p if count % depth else p.half().float()

    with mock.patch.multiple(in_pytorch, relaxed=begun, ascended=stored):
        yield


def pairs(setting: Setting) -> Iterator[tuple[str, UInt8, Truth]]:
    """Pairs to compare flow on: a name, (2, H, W), and the flow with where it is known, if it is."""
    clip = clips(setting, setting.sizes[0])[0]
    for t in range(0, min(len(clip) - 1, 64), 16):
        yield f"frames {t} and {t + 1}", clip[t : t + 2].cpu().numpy(), None
    if setting.middlebury:
        sys.path.append(str(common.ROOT / "tests" / "stubs"))
        import middlebury

        for scene in sorted(path.name for path in (setting.middlebury / "middlebury").iterdir()):
            truth = middlebury.truth(setting.middlebury, scene)
            yield scene, middlebury.frames(setting.middlebury, scene), truth


def error(flow: Any, truth: Truth) -> str:
    """Mean end-point error, pixels."""
    if truth is None:
        return ""
    expected, known = truth
    return f"{np.hypot(*(host(flow) - expected))[known].mean():.3f}"
