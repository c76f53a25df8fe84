from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from twostream.data.index import Item, VideoIndex, VideoIndexError
from twostream.protocol.folds import make_folds
from twostream.protocol.options import ProtocolOptions


def index(groups=12, clips=3, classes=("calm", "wild"), same_content=()):
    """Videos in groups of one class each; those in `same_content` are one file."""
    items = []
    for group in range(groups):
        name = classes[group % len(classes)]
        for clip in range(clips):
            identifier = f"{name}/v_g{group:02}_c{clip}"
            digest = "copy" if identifier in same_content else identifier
            items.append(Item(identifier, classes.index(name), f"g{group:02}", 9, 8, digest))
    return VideoIndex(tuple(sorted(items, key=lambda item: item.id)), classes)


def options(scheme, **others):
    return ProtocolOptions(scheme=scheme, **others)


@pytest.fixture
def lists(tmp_path):
    """Two folds by lists: of the first the training list is given too."""
    (tmp_path / "testlist01.txt").write_text("calm/v_g00_c0.avi\nwild/v_g01_c0\n")
    (tmp_path / "trainlist01.txt").write_text("calm/v_g02_c0.avi 1\nwild/v_g03_c0.avi 2\n")
    names = [f"{'calm' if g % 2 == 0 else 'wild'}/v_g{g:02}_c{c}" for g in (2, 3) for c in range(3)]
    (tmp_path / "testlist02.txt").write_text("\n".join(names))
    return tmp_path


SCHEMES = pytest.mark.parametrize(
    ("scheme", "others"),
    [("group-folds", {"folds": 4}), ("group-folds", {"folds": 2}), ("leave-one-group-out", {})],
)


@SCHEMES
def test_every_video_tests_once_and_no_group_or_content_is_divided(scheme, others):
    copies = ("calm/v_g00_c0", "calm/v_g06_c1")
    here = index(same_content=copies)
    folds = make_folds(here, options(scheme, **others))
    tested = Counter(i for fold in folds for i in fold.test)
    assert tested == Counter(item.id for item in here.items)
    for fold in folds:
        assert set(fold.train) | set(fold.test) == {item.id for item in here.items}
        sides = {side: here.select(getattr(fold, side)) for side in ("train", "test")}
        for key in ("id", "group", "sha256"):
            train, test = ({getattr(item, key) for item in sides[side]} for side in sides)
            assert not train & test


def test_groups_that_share_a_file_are_left_out_together():
    folds = make_folds(
        index(same_content=("calm/v_g00_c0", "calm/v_g06_c1")), options("leave-one-group-out")
    )
    assert len(folds) == 11
    assert [fold.name for fold in folds][-1] == "11"


def test_folds_of_groups_hold_about_as_much_of_each_class():
    here = index(groups=40, clips=2)
    labels = {item.id: item.label for item in here.items}
    for fold in make_folds(here, options("group-folds", folds=5)):
        np.testing.assert_array_equal(np.bincount([labels[i] for i in fold.test]), [8, 8])


@SCHEMES
def test_seeds_do_not_move_folds(scheme, others):
    one, other = (make_folds(index(), options(scheme, seeds=s, **others)) for s in ((0,), (1, 2)))
    assert one == other


def test_a_class_of_one_group_is_named_where_it_tests_and_does_not_train():
    said = []
    one = index(groups=9, classes=("calm", "wild", "rare"))
    rare = {item.id for item in one.items if item.label == 2 and item.group != "g02"}
    items = tuple(item for item in one.items if item.id not in rare)
    make_folds(VideoIndex(items, one.classes), options("leave-one-group-out"), said.append)
    (sentence,) = said
    assert "tests rare, of which no video trains" in sentence


def test_lists_are_folds_and_the_rest_trains_where_no_list_says_what(lists):
    first, second = make_folds(index(), options("lists", lists=lists))
    assert first.test == ("calm/v_g00_c0", "wild/v_g01_c0")
    assert first.train == ("calm/v_g02_c0", "wild/v_g03_c0")
    assert len(second.test) == 6
    assert len(second.train) == 30


def test_a_list_that_divides_a_group_is_refused(lists):
    (lists / "trainlist01.txt").write_text("calm/v_g00_c1\n")
    with pytest.raises(VideoIndexError, match="group g00 is on both sides"):
        make_folds(index(), options("lists", lists=lists))


def test_a_folder_without_lists_is_refused(tmp_path):
    with pytest.raises(VideoIndexError, match="testlist01"):
        make_folds(index(), options("lists", lists=tmp_path))


def test_the_three_splits_of_hmdb51_are_folds(tmp_path):
    for split in (1, 2, 3):
        for label, name in enumerate(("calm", "wild")):
            lines = [
                f"v_g{g:02}_c{c}.avi {2 if g // 2 % 3 == split - 1 else 1}"
                for g in range(label, 12, 2)
                for c in range(3)
            ]
            (tmp_path / f"{name}_test_split{split}.txt").write_text("\n".join(lines))
    folds = make_folds(index(), options("hmdb51", hmdb51=tmp_path))
    assert [len(fold.test) for fold in folds] == [12, 12, 12]
    assert "calm/v_g02_c0" in folds[1].test


@pytest.mark.parametrize(("groups", "clips"), [(3, 5), (8, 1)])
def test_folds_that_would_lack_a_class_are_refused(groups, clips):
    with pytest.raises(VideoIndexError, match=f"{groups} groups.*into 5 folds"):
        make_folds(index(groups=groups, clips=clips), options("group-folds", folds=5))


def test_a_class_of_the_list_without_videos_does_not_count():
    here = index(groups=12, classes=("calm", "wild"))
    shifted = [replace(item, label=item.label + 1) for item in here.items]
    listed = VideoIndex(tuple(shifted), ("absent", "calm", "wild", "gone"))
    one, other = (make_folds(each, options("group-folds", folds=3)) for each in (here, listed))
    assert one == other
