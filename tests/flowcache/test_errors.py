import os
from pathlib import Path

from flowcache.errors import printable


def test_names_of_any_bytes_can_be_printed():
    assert printable(os.fsdecode(b"a/v_\xff\xc3\xbc.avi")) == "a/v_\\xffü.avi"
    assert printable(Path("a/ü")) == "a/ü"
