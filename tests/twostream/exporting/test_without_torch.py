"""Exported networks on a machine that has no PyTorch."""

import json
import os
import subprocess
import sys

import pytest
from made_videos import MJPEG_AVI, moving_scene, write_video

from twostream.prediction.predict import Predictor

STREAMS = ("spatial", "temporal")
ABSENT = ("torch", "lightning", "torchmetrics", "triton", "onnx", "onnxscript", "safetensors")
WORDS = ["--weights", "fit", "--clips", "2", "--json"]


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory, root):
    """Call Python where these packages are not: in a process of its own, and in all that it starts."""
    folder = tmp_path_factory.mktemp("absent")
    for name in ABSENT:
        package = folder / name / "__init__.py"
        package.parent.mkdir()
        package.write_text(f"raise ModuleNotFoundError('{name} is not here', name='{name}')")

    def call(*words):
        path = os.pathsep.join(map(str, (folder, root)))
        return subprocess.run(
            [sys.executable, *map(str, words)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    assert "torch is not here" in call("-c", "import torch").stderr
    return call


def test_both_streams_predict_from_a_video_file_and_are_fused(exported, without_torch, tmp_path):
    video = write_video(tmp_path / "a.avi", moving_scene(8, 48, 64, 2.0, 0.5, seed=3), MJPEG_AVI)
    files = [word for s in STREAMS for word in ("--run", exported / f"{s}.onnx")]
    done = without_torch("-m", "twostream", "predict", video, *files, *WORDS)
    assert done.returncode == 0, done.stderr
    expected = Predictor([exported / s for s in STREAMS])(video, weights="fit", clips=2).best
    (found,) = json.loads(done.stdout)
    for name in (*STREAMS, "fused"):
        probabilities = {one["class"]: one["probability"] for one in found[name]}
        assert probabilities == pytest.approx(dict(expected[name]), abs=1e-3)


def test_a_run_that_needs_pytorch_says_so(exported, without_torch, tmp_path):
    video = write_video(tmp_path / "a.avi", moving_scene(8, 48, 64, 2.0, 0.5, seed=3), MJPEG_AVI)
    done = without_torch("-m", "twostream", "predict", video, "--run", exported / "spatial")
    assert done.returncode == 1
    assert "needs PyTorch" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_flow_that_pytorch_computed_is_computed_by_the_cpu(backend, without_torch):
    code = (
        "from flowcache.cache.recipe import Recipe; "
        "from flowcache.workers.devices import for_this_machine; "
        f"recipe = Recipe(algorithm='tvl1', backend='{backend}', algorithm_version='1', options={{}}); "
        "print(for_this_machine(recipe).backend)"
    )
    done = without_torch("-c", code)
    assert done.stdout.strip() == "cpu", done.stderr
