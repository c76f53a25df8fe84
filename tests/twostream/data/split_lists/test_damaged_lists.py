"""A list with changed letters is refused in the library's words, or names videos that are there."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listed_videos import index_of

from twostream.data.index import VideoIndexError
from twostream.data.split_lists import read_class_list, read_list

INDEX = index_of(*(f"clap/abc_{n:06}_{n + 10:06}" for n in range(4)), "run/17", "run/18")
WHOLE = {
    "ucf101": "run/17.avi 2\nrun/18.avi 2\n",
    "kinetics": "label,youtube_id,time_start,time_end,split\n"
    + "".join(f"clap,abc,{n},{n + 10},train\n" for n in range(4)),
    "something-something": json.dumps([{"id": str(n), "template": "[Run]"} for n in (17, 18)]),
}
CHANGES = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4)


def damaged(text, changes):
    content = bytearray(text.encode())
    for place, value in changes:
        content[int(place * len(content))] = value
    return bytes(content)


def read(reader, content, *rest):
    """What a reader makes of a file: its names, or its objection with the file's path left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list")
        path.write_bytes(content)
        try:
            return reader(path, *rest), ""
        except VideoIndexError as error:
            return [], str(error).replace(str(path), "THE FILE")


@pytest.mark.parametrize("form", WHOLE)
@settings(max_examples=100)
@given(changes=CHANGES, skip_missing=st.booleans())
def test_a_damaged_list_is_refused_in_a_sentence_or_names_what_is_there(
    form, changes, skip_missing
):
    ids, objection = read(read_list, damaged(WHOLE[form], changes), INDEX, skip_missing)
    assert len(objection) < 800
    assert not objection or "THE FILE" in objection
    assert len(set(ids)) == len(ids)
    assert set(ids) <= {item.id for item in INDEX.items}


@settings(max_examples=100)
@given(CHANGES)
def test_a_damaged_class_list_is_refused_in_a_sentence_or_is_a_list_of_names(changes):
    whole = json.dumps({"Clap [something]": "0", "Run": "1"})
    names, objection = read(read_class_list, damaged(whole, changes))
    assert not objection or "THE FILE" in objection
    assert len(names) == len(set(names)) <= 2
