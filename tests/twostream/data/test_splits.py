import csv
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from twostream.data.index import Item, VideoIndex, VideoIndexError
from twostream.data.splits import check_leakage, divide, make_split, read_split, write_split


def item(identifier, label=0, group=None, sha256=None):
    return Item(identifier, label, group or identifier, 5, 4, sha256 or f"sha of {identifier}")


def index_of(items, classes=None):
    labels = max(i.label for i in items) + 1
    names = classes or tuple(f"class{n}" for n in range(labels))
    return VideoIndex(tuple(sorted(items, key=lambda i: i.id)), names)


def regular(classes=3, groups=6, clips=4):
    """Every class with the same number of groups of its own."""
    return index_of(
        [
            item(f"class{c}/g{g}_c{v}", c, f"class{c}/g{g}")
            for c in range(classes)
            for g in range(groups)
            for v in range(clips)
        ]
    )


def split_of(index, seed=0, test_share=0.3, validation_share=0.2, **lists):
    return make_split(
        index, seed=seed, test_share=test_share, validation_share=validation_share, **lists
    )


@st.composite
def indices(draw, videos=1, groups=1):
    """Any videos, at least so many: groups may span classes, and files may be copies of one another.

    groups: the least of the number from which their groups are drawn.
    """
    classes = draw(st.integers(1, 4))
    count = draw(st.integers(videos, 25))
    numbers = st.integers(0, draw(st.integers(groups, 12)))
    contents = st.integers(0, 60)
    return index_of(
        [
            item(
                f"c/{n:02}",
                draw(st.integers(0, classes - 1)),
                f"group{draw(numbers)}",
                f"sha{draw(contents)}",
            )
            for n in range(count)
        ]
    )


@settings(max_examples=300, deadline=None)
@given(indices(), st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
def test_dividing_loses_nothing_and_keeps_groups_and_copies_together(index, share, seed):
    try:
        kept, held = divide(index, index.items, share, seed)
    except VideoIndexError:
        assume(False)
    assert sorted(i.id for i in (*kept, *held)) == [i.id for i in index.items]
    assert {i.group for i in kept}.isdisjoint(i.group for i in held)
    assert {i.sha256 for i in kept}.isdisjoint(i.sha256 for i in held)
    present = {i.label for i in index.items}
    assert {i.label for i in kept} == {i.label for i in held} == present


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=6), min_size=1, max_size=4),
    st.floats(0.05, 0.95),
    st.integers(0, 1000),
)
def test_classes_with_groups_of_their_own_are_divided_exactly_where_each_has_two(
    sizes, share, seed
):
    index = index_of(
        [
            item(f"c{c}/{g}_{v}", c, f"c{c}/{g}")
            for c, groups in enumerate(sizes)
            for g, size in enumerate(groups)
            for v in range(size)
        ]
    )
    lonely = [c for c, groups in enumerate(sizes) if len(groups) < 2]
    if lonely:
        with pytest.raises(VideoIndexError, match=f"class{lonely[0]} has too few groups"):
            divide(index, index.items, share, seed)
    else:
        divide(index, index.items, share, seed)


@settings(max_examples=100, deadline=None)
# Fewer can seldom be divided in three, and too many that cannot are an error of their own.
@given(indices(videos=15, groups=8), st.integers(0, 1000))
def test_a_whole_split_has_three_disjoint_parts_of_whole_groups(index, seed):
    try:
        split = split_of(index, seed)
    except VideoIndexError:
        assume(False)
    parts = [split.train, split.validation, split.test]
    assert sorted(i for part in parts for i in part) == [i.id for i in index.items]
    assert all(list(part) == sorted(part) for part in parts)
    for key in ("group", "sha256"):
        sides = [{getattr(i, key) for i in index.select(part)} for part in parts]
        assert sum(map(len, sides)) == len(set.union(*sides))


def test_the_same_seed_gives_the_same_split_and_others_give_others():
    index = regular(groups=10)
    assert split_of(index, 3) == split_of(index, 3)
    assert len({split_of(index, seed).digest for seed in range(20)}) > 15


def test_the_split_does_not_depend_on_the_order_of_the_videos():
    index = regular()
    shuffled = VideoIndex(tuple(reversed(index.items)), index.classes)
    assert split_of(shuffled, 1) == split_of(index, 1)


@pytest.mark.parametrize("share", [0.2, 0.3, 0.5, 0.7])
def test_the_shares_are_met_in_each_class(share):
    index = regular(classes=3, groups=10, clips=4)
    for seed in range(10):
        _, held = divide(index, index.items, share, seed)
        counts = Counter(i.label for i in held)
        assert all(abs(counts[c] - share * 40) <= 2 for c in range(3)), counts


def test_every_group_is_drawn_sometimes():
    index = regular(classes=1, groups=8)
    drawn = Counter()
    for seed in range(200):
        drawn.update({i.group for i in divide(index, index.items, 0.25, seed)[1]})
    # 2 of 8 groups, 200 times: 50 expected of each, standard deviation 6.
    assert len(drawn) == 8
    assert min(drawn.values()) > 25
    assert max(drawn.values()) < 75


def test_copies_of_a_file_stay_together_through_a_chain_of_groups():
    # a–b share a group, b–c a content, c–d a group: one bundle.
    items = [
        item("c/a", 0, "g1", "s1"),
        item("c/b", 0, "g1", "s2"),
        item("c/c", 0, "g2", "s2"),
        item("c/d", 0, "g2", "s3"),
        item("c/e", 0, "g3", "s4"),
    ]
    index = index_of(items)
    for seed in range(10):
        kept, held = divide(index, index.items, 0.5, seed)
        small, large = sorted((kept, held), key=len)
        assert [i.id for i in small] == ["c/e"]
        assert [i.id for i in large] == ["c/a", "c/b", "c/c", "c/d"]


def test_without_a_validation_share_all_the_rest_trains():
    split = split_of(regular(), validation_share=0)
    assert split.validation == ()
    assert len(split.train) + len(split.test) == 72


def test_lists_are_kept_and_validation_comes_from_the_training_list_alone():
    index = regular(groups=6)
    test = [i.id for i in index.items if "/g0_" in i.id or "/g1_" in i.id]
    train = [i.id for i in index.items if i.id not in test and "/g5_" not in i.id]
    split = split_of(index, train=train, test=test)
    assert split.test == tuple(sorted(test))
    assert sorted((*split.train, *split.validation)) == sorted(train)
    assert split.validation


@pytest.mark.parametrize("given_side", ["train", "test"])
def test_where_one_list_is_given_the_other_is_the_rest(given_side):
    index = regular(groups=6)
    some = [i.id for i in index.items if "/g0_" in i.id or "/g1_" in i.id or "/g2_" in i.id]
    rest = [i.id for i in index.items if i.id not in some]
    split = split_of(index, **{given_side: some})
    train, test = (some, rest) if given_side == "train" else (rest, some)
    assert split.test == tuple(sorted(test))
    assert sorted((*split.train, *split.validation)) == sorted(train)


@pytest.mark.parametrize("side", ["train", "test"])
def test_lists_that_leave_a_side_empty_are_refused(side):
    index = regular()
    with pytest.raises(VideoIndexError, match="no video"):
        split_of(index, **{side: [i.id for i in index.items]})


def test_a_video_on_both_sides_is_refused_by_name():
    index = regular()
    everything = [i.id for i in index.items]
    with pytest.raises(VideoIndexError, match="class0/g0_c0"):
        split_of(index, train=everything, test=["class0/g0_c0"])


def test_a_group_on_both_sides_is_refused_with_both_names():
    index = regular()
    test = [i.id for i in index.items if "/g0_" in i.id and i.id != "class1/g0_c2"]
    with pytest.raises(VideoIndexError, match=r"group class1/g0 .*class1/g0_c2.*class1/g0_c"):
        split_of(index, test=test)


def test_a_file_on_both_sides_is_refused_with_both_names():
    items = [item("c/a", 0, "a", "same"), item("c/b", 0, "b", "other"), item("c/z", 0, "z", "same")]
    with pytest.raises(VideoIndexError, match=r"SHA-256.*c/a trains.*c/z tests"):
        check_leakage(items[:2], items[2:])


def test_the_digest_tells_splits_apart():
    index = regular()
    split, other = split_of(index, 0), split_of(index, 1)
    assert split.digest != other.digest
    assert split.digest == split_of(index, 0).digest


def test_the_written_split_names_every_video_once_with_its_part(tmp_path):
    index = regular(classes=2, groups=5, clips=2)
    split = split_of(index)
    write_split(tmp_path / "split.csv", index, split)
    with (tmp_path / "split.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["video"] for row in rows) == Counter(i.id for i in index.items)
    by_id = {i.id: i for i in index.items}
    for row in rows:
        own = by_id[row["video"]]
        assert row["label"] == index.classes[own.label]
        assert row["group"] == own.group
        assert row["video"] in getattr(split, row["part"])


def test_the_real_fights_are_split_by_their_sources(data):
    file = data / "fights" / "groups.csv"
    if not file.is_file():
        pytest.skip("no fights in the test data")
    with file.open(newline="") as rows:
        pairs = [(r["video"], r["group"]) for r in csv.DictReader(rows)]
    classes = tuple(sorted({v.split("/")[0] for v, _ in pairs}))
    index = index_of([item(v, classes.index(v.split("/")[0]), g) for v, g in pairs], classes)
    split = split_of(index)
    groups = [
        {i.group for i in index.select(p)} for p in (split.train, split.validation, split.test)
    ]
    assert sum(map(len, groups)) == len(set.union(*groups))
    labels = [i.label for i in index.select(split.test)]
    assert np.all(np.bincount(labels) > 15)


def test_a_written_split_is_read_with_the_groups(tmp_path):
    index = regular()
    split = split_of(index)
    write_split(tmp_path / "split.csv", index, split)
    again, groups = read_split(tmp_path / "split.csv")
    assert again == split
    assert again.digest == split.digest
    assert groups == {item.id: item.group for item in index.items}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"video,label,group,part\na,b,c,holiday\n", "not the split of a run"),
        (b"video,group\na,b\n", "not the split of a run"),
        (b"\xff", "not the split of a run"),
    ],
)
def test_what_is_no_split_is_refused_by_its_name(tmp_path, content, words):
    if content is not None:
        (tmp_path / "split.csv").write_bytes(content)
    with pytest.raises(VideoIndexError, match=rf"split\.csv.*{words}"):
        read_split(tmp_path / "split.csv")
