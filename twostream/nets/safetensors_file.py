"""Files of safetensors; of those that name the digest of their data, no byte may have changed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

_DIGEST = "sha256"


def save_safetensors(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path
) -> None:
    """Write tensors by their names, the metadata, and the SHA-256 of the data, which the format lacks."""
    apart = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    data = memoryview(content := save(apart))[_header(content) :]
    digest = hashlib.sha256(data).hexdigest()
    path.write_bytes(save(apart, {**metadata, _DIGEST: digest}))


def load_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata. Nothing in such a file can be executed.

    Raises ValueError where it is no such file, and where its digest is another than it names.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        if metadata.get(_DIGEST, "") not in ("", _digest(path)):
            raise ValueError("it is damaged: its data have another SHA-256 than it names")
        return load_file(path), metadata
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _header(start: bytes) -> int:
    """The bytes of the header, which a file begins with; the data are what follows."""
    return 8 + int.from_bytes(start[:8], "little")


def _digest(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        file.seek(_header(file.read(8)))
        return hashlib.file_digest(file, "sha256").hexdigest()
