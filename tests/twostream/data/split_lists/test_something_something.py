import json

import pytest
from listed_videos import index_of, write

from twostream.data.index import VideoIndexError, read_index
from twostream.data.split_lists import read_class_list, read_list

TRAIN = [
    {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    },
    {"id": "42326", "template": "Putting [number of] [something] onto [something]"},
]
IDS = ["Holding_something_next_to_something/78687"]
IDS += ["Putting number of something onto something/42326"]
LABELS = {"Putting number of something onto something": "0"}
LABELS |= {
    "Holding something next to something": "1",
    "Approaching something with your camera": "2",
}


@pytest.fixture
def index():
    return index_of(*IDS)


def write_json(path, content):
    return write(path, json.dumps(content))


@pytest.mark.parametrize("indent", [None, 2])
def test_files_are_found_by_their_ids(tmp_path, index, indent):
    path = write(tmp_path / "something-something-v2-train.json", json.dumps(TRAIN, indent=indent))
    assert read_list(path, index) == IDS


def test_the_list_of_the_test_part_has_ids_alone(tmp_path, index):
    path = write_json(tmp_path / "test.json", [{"id": one["id"]} for one in TRAIN])
    assert read_list(path, index) == IDS


def test_a_class_that_is_not_the_folder_is_refused_by_its_entry(tmp_path, index):
    content = [TRAIN[0], TRAIN[1] | {"template": "Dropping [something]"}]
    path = write_json(tmp_path / "train.json", content)
    with pytest.raises(VideoIndexError, match=r"train\.json, entry 2, .*class Dropping something"):
        read_list(path, index)


def test_missing_videos_and_those_named_twice_are_refused(tmp_path, index):
    path = write_json(tmp_path / "train.json", [*TRAIN, TRAIN[0] | {"id": "1"}])
    with pytest.raises(VideoIndexError, match=r"1 of its 3 .*something/1 \(entry 3\)"):
        read_list(path, index)
    assert read_list(path, index, skip_missing=True) == IDS
    path = write_json(tmp_path / "train.json", [*TRAIN, TRAIN[0]])
    with pytest.raises(VideoIndexError, match="78687 twice"):
        read_list(path, index)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"id": "1"', "cannot be read as JSON"),
        ("[" * 100_000 + "{", "not in the cache"),  # no list of objects, so UCF101's text
        ("[{" + '"a": [' * 100_000, "cannot be read as JSON"),
        ('[{"id": "1"}, 7]', "entry 2: expected an object"),
        ('[{"template": "Holding"}]', "entry 1: expected an object"),
        ('[{"id": "1", "template": 7}]', "entry 1: expected an object"),
        ('[{"id": null, "template": "Holding"}]', "entry 1: expected an object"),
    ],
    ids=["cut", "brackets", "deep", "a number", "no id", "a template that is no text", "null"],
)
def test_what_is_no_such_list_is_refused_in_a_short_sentence(tmp_path, index, text, words):
    with pytest.raises(VideoIndexError, match=words) as caught:
        read_list(write(tmp_path / "train.json", text), index)
    assert len(str(caught.value)) < 500


def test_classes_stand_in_the_order_of_their_numbers(tmp_path):
    many = {f"Turning [something] {word}": str(n) for n, word in enumerate("kjihgfedcba")}
    path = write_json(tmp_path / "labels.json", dict(sorted(many.items())))
    assert read_class_list(path) == [f"Turning something {word}" for word in "kjihgfedcba"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": "0", "b": "2"}, "no class of number 1: number the 2 classes"),
        ({"a": "0", "b": "0"}, "no class of number 1"),
        ({"a": "zero"}, "no class of number 0"),
        ({"[a]": "0", "a": "1"}, "the class a twice"),
    ],
    ids=["a gap", "one twice", "a word", "brackets"],
)
def test_a_class_list_of_other_numbers_is_refused(tmp_path, content, words):
    with pytest.raises(VideoIndexError, match=words):
        read_class_list(write_json(tmp_path / "labels.json", content))


def test_folders_with_underscores_are_classes_of_the_list(tmp_path, new_cache, add):
    cache = new_cache(tmp_path / "cache")
    for identifier in IDS:
        add(cache, identifier)
    names = read_class_list(write_json(tmp_path / "labels.json", LABELS))
    index = read_index(cache, None, names)
    assert index.classes == tuple(names)
    assert {item.id: item.label for item in index.items} == {IDS[0]: 1, IDS[1]: 0}
    path = write_json(tmp_path / "train.json", TRAIN)
    assert read_list(path, index) == IDS
