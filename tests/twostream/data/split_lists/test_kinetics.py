import pytest
from listed_videos import index_of, write

from twostream.data.index import VideoIndexError
from twostream.data.split_lists import read_list

HEADER = "label,youtube_id,time_start,time_end,split"
# The editions of 400, 600 and 700 classes, and of the test parts, as they are published.
ROWS = (
    "air drumming,--0dXuJGX9I,12,22,train",
    '"massaging person\'s head",0_ab-cDEfgh,0,10,train',
    "abseiling,AbC_123-xyz,345,355,train",
)
IDS = ["air_drumming/--0dXuJGX9I_000012_000022"]
IDS += ["massaging person's head/0_ab-cDEfgh_000000_000010"]
IDS += ["Abseiling/AbC_123-xyz_000345_000355"]


@pytest.fixture
def index():
    return index_of(*IDS, "abseiling_not/AbC_123-xyz_000345_000356")


def test_files_are_found_by_their_youtube_ids_and_seconds(tmp_path, index):
    assert read_list(write(tmp_path / "train.csv", HEADER, *ROWS), index) == IDS


def test_columns_may_stand_in_any_order_and_others_beside_them(tmp_path, index):
    columns = HEADER.split(",")
    order = [3, 1, 0, 4, 2]
    rows = [
        ",".join([*([*row.replace('"', "").split(",")][i] for i in order), "0"]) for row in ROWS
    ]
    header = ",".join([*(columns[i] for i in order), "is_cc"])
    assert read_list(write(tmp_path / "train.csv", header, *rows), index) == IDS


def test_a_list_without_labels_is_matched_by_names_alone(tmp_path, index):
    rows = [row.partition(",")[2].removesuffix(",train") for row in ROWS]
    header = "youtube_id,time_start,time_end"
    assert read_list(write(tmp_path / "test.csv", header, *rows), index) == IDS


def test_a_mark_in_front_and_windows_line_ends_are_no_part_of_a_name(tmp_path, index):
    path = tmp_path / "train.csv"
    path.write_text("\r\n".join([HEADER, *ROWS, ""]), encoding="utf-8-sig", newline="")
    assert read_list(path, index) == IDS


def test_a_label_that_is_not_the_folder_is_refused_by_its_line(tmp_path, index):
    path = write(tmp_path / "train.csv", HEADER, ROWS[1], ROWS[0].replace("air", "table"))
    with pytest.raises(VideoIndexError, match=r"train\.csv, line 3, .*table drumming: extract it"):
        read_list(path, index)


def test_letters_of_youtube_ids_are_told_apart(tmp_path):
    names = ("abc_000001_000002", "ABC_000001_000002")
    index = index_of(*(f"run/{name}" for name in names))
    path = write(tmp_path / "train.csv", HEADER, "run,ABC,1,2,train", "run,abc,1,2,train")
    assert read_list(path, index) == [f"run/{name}" for name in names[::-1]]


def test_one_name_in_two_classes_is_found_by_its_label_or_refused_without_one(tmp_path):
    index = index_of("run/abc_000001_000002", "walk/abc_000001_000002")
    path = write(tmp_path / "train.csv", HEADER, "walk,abc,1,2,train")
    assert read_list(path, index) == ["walk/abc_000001_000002"]
    path = write(tmp_path / "test.csv", HEADER.removeprefix("label,"), "abc,1,2,test")
    with pytest.raises(
        VideoIndexError, match=r"test\.csv, line 2: abc_.* may be run/abc_.* or walk/abc_"
    ):
        read_list(path, index)


def test_missing_videos_are_named_with_their_line_or_left_out(tmp_path, index):
    path = write(tmp_path / "train.csv", HEADER, ROWS[0], "run,gone,1,11,train", ROWS[2])
    with pytest.raises(VideoIndexError, match=r"1 of its 3 .*run/gone_000001_000011 \(line 3\)"):
        read_list(path, index)
    said = []
    assert read_list(path, index, True, said.append) == [IDS[0], IDS[2]]
    assert "left out" in said[0]


def test_a_file_of_several_parts_is_refused(tmp_path, index):
    path = write(tmp_path / "all.csv", HEADER, ROWS[0], ROWS[1].replace("train", "validate"))
    with pytest.raises(VideoIndexError, match="videos of train, validate: give a file of each"):
        read_list(path, index)


@pytest.mark.parametrize(
    "row",
    [
        "run,abc,one,11,train",
        "run,abc,1",
        "run",
        "run,,1,11,train",
        "run,abc,1.5,2,train",
        "run,abc,²,2,train",
        "run,abc,1," + "1" * 5000,
    ],
    ids=lambda row: row[:20],
)
def test_a_line_of_another_form_is_refused_by_its_number_in_a_short_sentence(tmp_path, index, row):
    path = write(tmp_path / "train.csv", HEADER, ROWS[0], "", row)
    with pytest.raises(VideoIndexError, match=r"train\.csv, line 4: expected a YouTube") as caught:
        read_list(path, index)
    assert len(str(caught.value)) < 500


def test_what_csv_cannot_hold_is_refused_by_its_line(tmp_path, index):
    path = write(tmp_path / "train.csv", HEADER, ROWS[0], f'"{"x" * 200_000}",abc,1,2,train')
    with pytest.raises(VideoIndexError, match=r"train\.csv, after line 2: field larger"):
        read_list(path, index)
