"""The command line, called in this process or as it is installed."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from twostream.commands.main import main

SMALL = "--model tiny --crop 32 --epochs 2 --jobs 0 --clips 2 --accelerator cpu"
"""A training of seconds."""


def run(words: str | Sequence[str]) -> Result:
    """Call a command, by one string or by its words."""
    return CliRunner().invoke(main, words.split() if isinstance(words, str) else list(words))


def succeed(words: str | Sequence[str]) -> str:
    """What a command prints that ends well."""
    result = run(words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return str(result.output)


def sentence(words: str | Sequence[str]) -> str:
    """The one sentence with which a command refuses."""
    result = run(words)
    assert result.exit_code not in (0, None), (words, result.output)
    assert result.exception is None or isinstance(result.exception, SystemExit), (
        words,
        repr(result.exception),
    )
    assert "Traceback" not in result.output
    lines = result.output.rstrip().splitlines()
    (first,) = (n for n, line in enumerate(lines) if line.startswith("Error: "))
    # After the sentence come at most the choices that click lists.
    assert all(line.startswith("\t") for line in lines[first + 1 :]), (words, result.output)
    return str(lines[first])


def installed(words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Call the command as it is installed beside this Python; else the test is skipped."""
    command = shutil.which("twostream", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("the command twostream is not installed beside this Python")
    return subprocess.run(
        [command, *words.split()], cwd=folder, capture_output=True, text=True, check=False
    )


def losses_of(folder: Path) -> list[dict[str, float]]:
    """The losses of each epoch of a run."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(row[name]) for name in row if name.endswith("_loss")} for row in rows]
