import pytest

from twostream.data.index import VideoIndexError, read_groups, read_index, video_id


def test_classes_are_the_first_folders_in_alphabetical_order(tmp_path, new_cache, add):
    cache = new_cache(tmp_path)
    for identifier in ("walk/b", "run/part one/a", "walk/a", "jump/x"):
        add(cache, identifier)
    index = read_index(cache)
    assert index.classes == ("jump", "run", "walk")
    assert [item.id for item in index.items] == ["jump/x", "run/part one/a", "walk/a", "walk/b"]
    assert [item.label for item in index.items] == [0, 1, 2, 2]
    assert len(index) == 4
    assert "4 videos, 3 classes" in repr(index)


@pytest.mark.parametrize(
    ("classes", "label"),
    [(["run", "Air Drumming"], 1), (["air drumming", "Air_Drumming"], 1), (["AIR_DRUMMING"], 0)],
)
def test_a_class_list_may_spell_a_folder_in_another_way(tmp_path, new_cache, add, classes, label):
    cache = new_cache(tmp_path)
    add(cache, "Air_Drumming/a")
    index = read_index(cache, None, classes)
    assert index.classes == tuple(classes)
    assert index.items[0].label == label


def test_an_item_knows_what_its_entry_holds(tmp_path, new_cache, add):
    cache = new_cache(tmp_path, frame_step=2)
    add(cache, "walk/a", count=7, sha256="ab" * 32)
    (item,) = read_index(cache).items
    assert (item.frames, item.fields, item.sha256) == (7, 5, "ab" * 32)


@pytest.mark.parametrize(
    ("identifier", "group"),
    [
        ("Archery/v_Archery_g08_c01", "Archery/v_Archery_g08"),
        ("Archery/v_Archery_g08_c07", "Archery/v_Archery_g08"),
        ("Archery/v_Archery_g18_c01", "Archery/v_Archery_g18"),
        ("HandstandPushups/v_HandStandPushups_g01_c02", "HandstandPushups/v_HandStandPushups_g01"),
        ("big_gun/v_01", "big_gun/v_01"),
        ("walk/no group_g08", "walk/no group_g08"),
    ],
)
def test_groups_come_from_names_as_ucf101_writes_them(tmp_path, new_cache, add, identifier, group):
    cache = new_cache(tmp_path)
    add(cache, identifier)
    assert read_index(cache).items[0].group == group


def test_groups_of_the_same_number_in_two_classes_are_two_groups(tmp_path, new_cache, add):
    cache = new_cache(tmp_path)
    for name in ("run/v_run_g01_c01", "walk/v_walk_g01_c01"):
        add(cache, name)
    first, second = read_index(cache).items
    assert first.group != second.group


def test_a_groups_file_takes_precedence_over_names(tmp_path, new_cache, add):
    cache = new_cache(tmp_path / "cache")
    add(cache, "run/v_run_g01_c01")
    add(cache, "walk/with space, and comma")
    file = tmp_path / "groups.csv"
    file.write_text(
        'group,video,note\nporch,run/v_run_g01_c01.avi,x\nporch,"walk/with space, and comma.mp4",y\n'
    )
    assert [item.group for item in read_index(cache, file).items] == ["porch", "porch"]


def test_a_groups_file_that_leaves_a_video_out_is_refused_by_the_videos_name(
    tmp_path, new_cache, add
):
    cache = new_cache(tmp_path / "cache")
    for name in ("run/a", "run/b"):
        add(cache, name)
    file = tmp_path / "groups.csv"
    file.write_text("video,group\nrun/a.avi,one\n")
    with pytest.raises(VideoIndexError, match="run/b"):
        read_index(cache, file)


@pytest.mark.parametrize("text", ["", "run/a.avi,one\n", "video;group\nrun/a.avi;one\n"])
def test_a_groups_file_without_its_first_line_is_refused(tmp_path, text):
    file = tmp_path / "groups.csv"
    file.write_text(text)
    with pytest.raises(VideoIndexError, match="video,group"):
        read_groups(file)


def test_a_groups_file_that_is_no_text_is_refused_in_a_sentence(tmp_path):
    file = tmp_path / "groups.csv"
    file.write_bytes("video,group\nrun/é.avi,one\n".encode("latin-1"))
    with pytest.raises(VideoIndexError, match=r"groups\.csv"):
        read_groups(file)


def test_a_groups_file_as_spreadsheets_write_it_is_read(tmp_path):
    file = tmp_path / "groups.csv"
    file.write_bytes("\ufeffvideo,group\r\nrun/a.avi,one\r\n".encode())
    assert read_groups(file) == {"run/a": "one"}


@pytest.mark.parametrize("row", ["run/a.avi\n", "run/a.avi,\n"])
def test_a_line_of_the_groups_file_without_a_group_is_refused(tmp_path, row):
    # Or all such videos would make one group, or each would differ from what its author meant.
    file = tmp_path / "groups.csv"
    file.write_text(f"video,group\n{row}")
    with pytest.raises(VideoIndexError, match="run/a"):
        read_groups(file)


def test_given_classes_keep_their_order_and_may_have_no_video(tmp_path, new_cache, add):
    cache = new_cache(tmp_path)
    for name in ("run/a", "walk/a"):
        add(cache, name)
    index = read_index(cache, None, ["walk", "swim", "run"])
    assert index.classes == ("walk", "swim", "run")
    assert {item.id: item.label for item in index.items} == {"run/a": 2, "walk/a": 0}


def test_a_class_that_the_list_lacks_is_refused_by_name(tmp_path, new_cache, add):
    cache = new_cache(tmp_path)
    for name in ("run/a", "walk/a"):
        add(cache, name)
    with pytest.raises(VideoIndexError, match="walk"):
        read_index(cache, None, ["run"])


def test_a_video_outside_of_any_class_is_refused_by_name(tmp_path, new_cache, add):
    cache = new_cache(tmp_path)
    add(cache, "run/a")
    add(cache, "stray")
    with pytest.raises(VideoIndexError, match="stray"):
        read_index(cache)


def test_an_empty_cache_is_refused(tmp_path, new_cache):
    with pytest.raises(VideoIndexError, match="extract-flow"):
        read_index(new_cache(tmp_path))


def test_a_damaged_entry_is_refused_by_name(tmp_path, new_cache, add):
    cache = new_cache(tmp_path)
    for name in ("run/a", "run/b"):
        add(cache, name)
    whole = cache.path("run/b").read_bytes()
    cache.path("run/b").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoIndexError, match=r"b\.h5"):
        read_index(cache)


def test_an_entry_of_another_recipe_is_refused_by_name(tmp_path, new_cache, add):
    cache = new_cache(tmp_path / "cache")
    other = new_cache(tmp_path / "other", bound=5.0)
    for name in ("run/a", "run/b"):
        add(cache, name)
        add(other, name)
    other.path("run/b").replace(cache.path("run/b"))
    with pytest.raises(VideoIndexError, match=r"b\.h5: it was made with bound 5\.0, not 20\.0"):
        read_index(cache)


def test_videos_of_which_only_a_part_is_kept_are_known(tmp_path, new_cache, add):
    cache = new_cache(tmp_path)
    add(cache, "run/a", partial="the file ends early")
    add(cache, "run/b")
    assert read_index(cache).partial == ("run/a",)


def test_select_gives_items_in_the_asked_order(tmp_path, new_cache, add):
    cache = new_cache(tmp_path)
    for name in ("run/a", "run/b", "run/c"):
        add(cache, name)
    index = read_index(cache)
    assert [item.id for item in index.select(["run/c", "run/a"])] == ["run/c", "run/a"]
    with pytest.raises(KeyError):
        index.select(["run/z"])


@pytest.mark.parametrize(
    ("path", "identifier"),
    [
        ("run/a.avi", "run/a"),
        ("run/a.b.mp4", "run/a.b"),
        ("run/with space.mov", "run/with space"),
        ("run/a.avi ²", "run/a.avi ²"),
        ("run/mr. smith", "run/mr. smith"),
        ("/", "/"),
        (".", "."),
        ("..", ".."),
    ],
)
def test_an_id_is_the_path_without_its_ending(path, identifier):
    assert video_id(path) == identifier


def test_groups_come_from_hmdb51s_names_by_film_and_class(tmp_path, new_cache, add):
    cache = new_cache(tmp_path)
    films = {
        "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0": "brush_hair/April_09_brush_hair",
        "brush_hair/April_09_brush_hair_u_nm_np1_fr_med_12": "brush_hair/April_09_brush_hair",
        "brush_hair/May_brush_hair_f_cm_np2_le_bad_1": "brush_hair/May_brush_hair",
        "wave/April_09_wave_h_cm_np1_ri_med_0": "wave/April_09_wave",
        "wave/no_name_of_hmdb51_np1_ba": "wave/no_name_of_hmdb51_np1_ba",
    }
    for name in films:
        add(cache, name)
    assert {item.id: item.group for item in read_index(cache).items} == films


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("video,group\nrun/a.avi,x\nrun/a.avi,y\n", "run/a twice"),
        ("video,group\nrun/a.avi,x\nrun/a.mp4,x\n", "run/a twice"),
        ("video,group,group\nrun/a.avi,x,y\n", "each of these once"),
        ("video,video,group\nrun/a.avi,run/b.avi,x\n", "each of these once"),
    ],
)
def test_a_groups_file_that_says_two_things_of_a_video_is_refused(tmp_path, text, what):
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises(VideoIndexError, match=what):
        read_groups(path)


def test_a_line_of_megabytes_is_not_repeated_whole(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("video,group\n" + "x" * 100_000 + ",\n")
    with pytest.raises(VideoIndexError) as caught:
        read_groups(path)
    assert len(str(caught.value)) < 500
