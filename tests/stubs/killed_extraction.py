"""The command `extract-flow` in a process of its own that a test may kill."""

import os
import signal
from pathlib import Path
from typing import Any

# Imported before the process is forked, so that there is more work than start to kill.
import flowcache.extraction.api
from twostream.commands.main import main


def extract(videos: Path, cache: Path, output: Path, signs: Any) -> None:
    """Extract with two jobs and end with the command's status; `signs` is sent a word at the start."""
    os.setsid()  # a process group of its own, its children included
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background work ignores it
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    assert flowcache.extraction.api
    words = ["extract-flow", str(videos), "--cache", str(cache), "--algorithm", "farneback"]
    signs.send("begun")
    main([*words, "--jobs", "2", "--timeout", "120"])
