from itertools import pairwise

import pytest
from listed_videos import index_of, write

from twostream.data.index import VideoIndexError
from twostream.data.split_lists import read_class_list, read_list


def test_class_numbers_start_at_one(tmp_path):
    file = write(tmp_path / "classInd.txt", "1 ApplyEyeMakeup", "2 Archery", "", "3 BabyCrawling")
    assert read_class_list(file) == ["ApplyEyeMakeup", "Archery", "BabyCrawling"]


@pytest.mark.parametrize(
    "lines", [["0 Archery"], ["1 Archery", "3 Biking"], ["Archery"], ["1 Two Words"], ["x Archery"]]
)
def test_a_class_list_of_another_form_is_refused_by_its_line(tmp_path, lines):
    file = write(tmp_path / "classInd.txt", *lines)
    with pytest.raises(VideoIndexError, match=rf"classInd\.txt, line {len(lines)}"):
        read_class_list(file)


def test_windows_line_ends_are_no_part_of_a_class_or_a_name(tmp_path):
    index = index_of("Archery/v_a", "Biking/v_b")
    (tmp_path / "classInd.txt").write_bytes(b"1 Archery\r\n2 Biking\r\n")
    (tmp_path / "list.txt").write_bytes(b"Archery/v_a.avi 1\r\nBiking/v_b.avi 2\r\n")
    assert read_class_list(tmp_path / "classInd.txt") == ["Archery", "Biking"]
    assert read_list(tmp_path / "list.txt", index) == ["Archery/v_a", "Biking/v_b"]


def test_train_and_test_lists_of_ucf101_name_the_same_ids(tmp_path):
    index = index_of("Archery/v_Archery_g08_c01", "Biking/v_Biking_g08_c01")
    train = write(
        tmp_path / "trainlist01.txt",
        "Biking/v_Biking_g08_c01.avi 2",
        "Archery/v_Archery_g08_c01.avi 1",
    )
    test = write(
        tmp_path / "testlist01.txt", "Biking/v_Biking_g08_c01.avi", "Archery/v_Archery_g08_c01.avi"
    )
    expected = ["Biking/v_Biking_g08_c01", "Archery/v_Archery_g08_c01"]
    assert read_list(train, index) == read_list(test, index) == expected


@pytest.mark.parametrize("name", ["walk/a dog.avi", "walk/take 2.avi", "walk/two  spaces 3.avi"])
@pytest.mark.parametrize("number", ["", " 2"])
def test_a_name_may_hold_spaces_and_numbers(tmp_path, name, number):
    index = index_of("run/a", name.removesuffix(".avi"))
    file = write(tmp_path / "list.txt", name + number)
    assert read_list(file, index) == [name.removesuffix(".avi")]


def test_a_name_that_differs_in_case_alone_is_found(tmp_path):
    stored = "HandstandPushups/v_HandStandPushups_g01_c01"
    index = index_of(stored, "Archery/v_Archery_g01_c01")
    file = write(
        tmp_path / "list.txt",
        "HandStandPushups/v_HandstandPushups_g01_c01.avi 2",
        "Archery/v_Archery_g01_c01.avi 1",
    )
    assert read_list(file, index) == [stored, "Archery/v_Archery_g01_c01"]


def test_an_exact_name_wins_over_one_that_differs_in_case(tmp_path):
    index = index_of("run/Clip", "run/clip")
    file = write(tmp_path / "list.txt", "run/clip.avi", "run/Clip.avi")
    assert read_list(file, index) == ["run/clip", "run/Clip"]


def test_a_number_that_is_not_the_classs_is_refused(tmp_path):
    index = index_of("Archery/a", "Biking/b")
    file = write(tmp_path / "list.txt", "Archery/a.avi 1", "Biking/b.avi 1")
    with pytest.raises(VideoIndexError, match=r"Biking/b class 1.*class 2.*classInd"):
        read_list(file, index)


def test_numbers_are_those_of_the_given_class_list(tmp_path):
    # With 101 classes of which two are here, Biking is number 11 and not 2.
    classes = [f"Class{n:03}" for n in range(10)] + ["Biking"] + ["Archery"]
    index = index_of("Archery/a", "Biking/b", classes=classes)
    file = write(tmp_path / "list.txt", "Archery/a.avi 12", "Biking/b.avi 11")
    assert read_list(file, index) == ["Archery/a", "Biking/b"]


def test_missing_videos_are_refused_with_their_number_and_the_first_name(tmp_path):
    index = index_of("run/a")
    file = write(tmp_path / "list.txt", "run/a.avi", "run/gone.avi", "run/lost.avi")
    with pytest.raises(VideoIndexError, match=r"2 of its 3 .*run/gone\.avi.*leave them out"):
        read_list(file, index)


def test_missing_videos_are_left_out_where_that_is_asked_for(tmp_path):
    index = index_of("run/a", "walk/b")
    # The missing one's number is not checked, and those after it keep their own.
    file = write(tmp_path / "list.txt", "run/gone.avi 7", "walk/b.avi 2", "run/a.avi 1")
    assert read_list(file, index, skip_missing=True) == ["walk/b", "run/a"]


def test_a_video_that_is_named_twice_is_refused(tmp_path):
    index = index_of("run/a", "run/b")
    file = write(tmp_path / "list.txt", "run/a.avi", "run/b.avi", "run/a.mp4")
    with pytest.raises(VideoIndexError, match=r"run/a twice"):
        read_list(file, index)


def test_a_list_that_is_no_utf8_text_is_refused_in_a_sentence(tmp_path):
    file = tmp_path / "list.txt"
    file.write_bytes("run/é.avi\n".encode("latin-1"))
    with pytest.raises(VideoIndexError, match=r"list\.txt"):
        read_list(file, index_of("run/a"))


def test_a_list_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(VideoIndexError, match=r"nothing\.txt"):
        read_list(tmp_path / "nothing.txt", index_of("run/a"))


def test_ucf101s_real_videos_match_lists_in_its_own_form(data, tmp_path):
    videos = sorted((data / "ucf101" / "videos").rglob("*.avi"))
    if not videos:
        pytest.skip("no UCF101 videos in the test data")
    names = [f"{path.parent.name}/{path.name}" for path in videos]
    index = index_of(*(name.removesuffix(".avi") for name in names))
    lines = [f"{name} {index.classes.index(name.split('/')[0]) + 1}" for name in names]
    ids = read_list(write(tmp_path / "list.txt", *lines), index)
    assert len(ids) == len(videos)
    assert all(a != b for a, b in pairwise(ids))


def test_a_mark_in_front_of_the_first_line_is_no_part_of_its_name(tmp_path):
    index = index_of("run/a", "run/b")
    path = tmp_path / "list.txt"
    path.write_text("run/a.avi\n", encoding="utf-8-sig")
    assert read_list(path, index, skip_missing=True) == ["run/a"]


def test_what_is_left_out_of_a_list_is_said(tmp_path):
    path = write(tmp_path / "list.txt", "run/a.avi", "run/gone.avi", "run/lost.avi")
    said = []
    assert read_list(path, index_of("run/a"), True, said.append) == ["run/a"]
    (line,) = said
    assert "2 of its 3 videos are not in the cache, the first is run/gone.avi" in line
    assert "left out" in line


ODD = ["run/a.avi ²", "run/a.avi " + "1" * 5000, "/", ".", "..", "x" * 5_000_000]


@pytest.mark.parametrize("line", ODD, ids=lambda line: line[:12])
def test_odd_lines_are_refused_in_a_short_sentence(tmp_path, line):
    path = write(tmp_path / "list.txt", line)
    with pytest.raises(VideoIndexError, match="not in the cache") as caught:
        read_list(path, index_of("run/a"))
    assert len(str(caught.value)) < 500


def test_a_class_that_is_listed_twice_is_refused(tmp_path):
    path = write(tmp_path / "classInd.txt", "1 run", "2 jump", "3 run")
    with pytest.raises(VideoIndexError, match="the class run twice"):
        read_class_list(path)
