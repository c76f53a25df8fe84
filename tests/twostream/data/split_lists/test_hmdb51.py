import pytest
from listed_videos import index_of, write

from twostream.data.index import VideoIndexError
from twostream.data.split_lists import read_hmdb51


@pytest.fixture
def hmdb51(tmp_path):
    write(
        tmp_path / "brush_hair_test_split1.txt",
        "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 ",
        "with space (1).avi 2 ",
        "unused.avi 0 ",
    )
    write(tmp_path / "clap_test_split1.txt", "a.avi 2 ", "b.avi 1 ", "c.avi 1 ")
    write(tmp_path / "clap_test_split2.txt", "a.avi 1 ", "b.avi 2 ", "c.avi 0 ")
    return tmp_path


HMDB51 = (
    "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0",
    "brush_hair/with space (1)",
    "brush_hair/unused",
    "clap/a",
    "clap/b",
    "clap/c",
)


def test_hmdb51_marks_training_by_one_testing_by_two_and_unused_by_zero(hmdb51):
    train, test = read_hmdb51(hmdb51, 1, index_of(*HMDB51))
    assert set(train) == {HMDB51[0], "clap/b", "clap/c"}
    assert set(test) == {HMDB51[1], "clap/a"}


def test_hmdb51_has_files_of_its_own_for_each_split(hmdb51):
    train, test = read_hmdb51(hmdb51, 2, index_of(*HMDB51))
    assert (train, test) == (["clap/a"], ["clap/b"])


def test_hmdb51_without_files_of_that_split_is_refused(hmdb51):
    with pytest.raises(VideoIndexError, match=r"_test_split3\.txt"):
        read_hmdb51(hmdb51, 3, index_of(*HMDB51))


def test_hmdb51_refuses_missing_videos_or_leaves_them_out(hmdb51):
    index = index_of(*HMDB51[:4], HMDB51[5])
    with pytest.raises(VideoIndexError, match=r"clap/b\.avi"):
        read_hmdb51(hmdb51, 1, index)
    train, _ = read_hmdb51(hmdb51, 1, index, skip_missing=True)
    assert set(train) == {HMDB51[0], "clap/c"}


def test_an_unused_video_of_hmdb51_need_not_be_there(hmdb51):
    index = index_of(*(i for i in HMDB51 if i != "brush_hair/unused"))
    read_hmdb51(hmdb51, 1, index)


def test_hmdb51s_columns_may_be_parted_by_tabs(tmp_path):
    write(tmp_path / "clap_test_split1.txt", "a.avi\t2", "b.avi \t 1")
    assert read_hmdb51(tmp_path, 1, index_of(*HMDB51)) == (["clap/b"], ["clap/a"])


@pytest.mark.parametrize("line", ["a.avi", "a.avi 3", "a.avi one", "1"])
def test_hmdb51s_lines_without_a_part_are_refused(tmp_path, line):
    write(tmp_path / "clap_test_split1.txt", "b.avi 1", line)
    with pytest.raises(VideoIndexError, match=r"clap_test_split1.*expected a name and 0, 1 or 2"):
        read_hmdb51(tmp_path, 1, index_of(*HMDB51))
