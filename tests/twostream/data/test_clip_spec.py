import pytest

from flowcache.errors import UserError
from twostream.data.clip_spec import ClipSpec


def test_what_the_model_decides_is_left_open():
    spec = ClipSpec()
    assert spec.length is None
    assert spec.crop is None
    assert (spec.stride, spec.resize) == (None, None)
    assert (spec.scales, spec.flip, spec.subtract_mean) == ((), True, True)


def test_a_list_of_scales_becomes_what_can_be_compared():
    assert ClipSpec(scales=[1.0, 0.5]) == ClipSpec(scales=(1.0, 0.5))


@pytest.mark.parametrize(
    "values",
    [{"length": 0}, {"crop": 0}, {"stride": 0}, {"scales": (0.5, 0)}, {"scales": (1.1,)}],
    ids=str,
)
def test_numbers_that_make_no_clip_are_refused_by_their_name(values):
    (name,) = values
    with pytest.raises(UserError, match=name) as caught:
        ClipSpec(**values)
    assert caught.value.parameter == name


@pytest.mark.parametrize("values", [{"area": (0.5,)}, {"area": (0.9, 0.3)}], ids=str)
def test_an_area_is_a_smallest_and_a_largest_share(values):
    with pytest.raises(UserError, match="smallest and a largest") as caught:
        ClipSpec(**values)
    assert caught.value.parameter == "area"


def test_a_crop_by_area_and_by_scales_at_once_is_refused():
    with pytest.raises(UserError, match="leave out one"):
        ClipSpec(area=(0.3, 1), scales=(1.0, 0.75))


def test_a_stride_and_a_frame_rate_at_once_are_refused():
    with pytest.raises(UserError, match="leave out one") as caught:
        ClipSpec(stride=2, fps=5)
    assert caught.value.parameter == "fps"


def test_a_crop_that_an_older_checkpoint_calls_its_size_is_read():
    old = {
        "length": 3,
        "size": 16,
        "stride": 2,
        "scales": [1.0],
        "flip": False,
        "subtract_mean": True,
    }
    assert ClipSpec.from_plain(old) == ClipSpec(
        length=3, crop=16, resize=0, stride=2, scales=(1.0,), flip=False
    )
