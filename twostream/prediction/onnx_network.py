"""A network that onnxruntime computes. PyTorch is not needed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from flowcache.errors import UserError
from flowcache.types import Float32
from twostream.data.clip_reader import Clip
from twostream.runs.spec import KEY, Spec

INPUTS = ("clip", "mean", "gain")
"""The names that a graph has for the parts of a `Clip`."""

_FOLDER_OF_WEIGHTS = "session.model_external_initializers_file_folder_path"
_DIGEST = "sha256"
_UNKNOWN = 64 * b"0"


@dataclass(frozen=True)
class OnnxNetwork:
    """Of a file that `twostream export` wrote; see `Network`."""

    spec: Spec
    session: Any

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file, of which nothing is executed but the operators of ONNX.

        Raises UserError where it is missing, none of ours, or damaged, and where there is no onnxruntime.
        """
        try:
            import onnxruntime
        except ImportError:
            raise UserError(
                f"{path} needs onnxruntime, which is not installed: pip install 'twostream[export]'",
                "run",
            ) from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # not of errors, which are raised
        # A graph may name other files that hold its weights, which are sought below this "folder": it is
        # none, so nothing but the file itself is read. Without it that is the current folder.
        options.add_session_config_entry(_FOLDER_OF_WEIGHTS, str(path.absolute()))
        try:
            content = path.read_bytes()
            session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
            spec = _spec_of(session.get_modelmeta().custom_metadata_map, content)
            _require_form(session, spec)
        except FileNotFoundError:
            raise UserError(
                f"{path} does not exist: name a file or a run's folder", "run"
            ) from None
        except Exception as error:  # onnxruntime's have no base of their own
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"{path} is no network that twostream exported: {reason}", "run"
            ) from None
        return cls(spec, session)

    def logits(self, clip: Clip) -> Float32:
        """Of each of B clips: (B, K)."""
        (logits,) = self.session.run(["logits"], dict(zip(INPUTS, clip, strict=True)))
        found: Float32 = logits
        return found


def sealed(model: Any, properties: Mapping[str, str]) -> bytes:
    """A model of `onnx` as a file, with properties and the SHA-256 of the rest, which ONNX lacks."""
    for key, value in {**properties, _DIGEST: _UNKNOWN.decode()}.items():
        model.metadata_props.add(key=key, value=value)
    content: bytes = model.SerializeToString()
    before, found, after = content.rpartition(_UNKNOWN)
    assert found
    return before + hashlib.sha256(content).hexdigest().encode() + after


def _spec_of(properties: Mapping[str, str], content: bytes) -> Spec:
    """ValueError where there is none, and where a byte of the file has changed."""
    if KEY not in properties:
        raise ValueError("it does not say of which network it is")
    if told := properties.get(_DIGEST):
        before, _, after = content.rpartition(told.encode())
        if hashlib.sha256(before + _UNKNOWN + after).hexdigest() != told:
            raise ValueError(
                "it is damaged, or was changed since: its SHA-256 is another than it names"
            )
    return Spec.from_json(properties[KEY])


def _require_form(session: Any, spec: Spec) -> None:
    """ValueError unless it takes the clips of the spec to a logit for each of its classes."""
    clip, channels = spec.clip, spec.values.channels
    integers = spec.values.integers(spec.recipe)
    expected = {
        "clip": (f"tensor({integers})", [clip.length, channels, clip.crop, clip.crop]),
        "mean": ("tensor(float)", [clip.length, channels]),
        "gain": ("tensor(float)", [channels]),
        "logits": ("tensor(float)", [len(spec.classes)]),
    }
    found = {
        one.name: (one.type, one.shape[1:])
        for one in (*session.get_inputs(), *session.get_outputs())
    }
    if found != expected:
        raise ValueError("its inputs and outputs are not of the form that it names")
