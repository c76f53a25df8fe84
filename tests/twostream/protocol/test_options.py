import pytest

from flowcache.errors import UserError
from twostream.protocol.options import ProtocolOptions


def test_seeds_become_whole_numbers():
    assert ProtocolOptions(seeds=(0.0, 2.0)).seeds == (0, 2)


@pytest.mark.parametrize("seeds", [(), (0.5,), (1, 1), (-1,), (2**32,)])
def test_seeds_that_are_none_are_refused(seeds):
    with pytest.raises(UserError, match="whole numbers"):
        ProtocolOptions(seeds=seeds)


@pytest.mark.parametrize("scheme", ["lists", "hmdb51"])
def test_a_scheme_of_files_needs_their_folder_and_no_other_has_a_use_for_it(scheme):
    with pytest.raises(UserError, match="needs the folder"):
        ProtocolOptions(scheme=scheme)
    with pytest.raises(UserError, match="no use"):
        ProtocolOptions(scheme="group-folds", **{scheme: "."})
    assert ProtocolOptions(scheme=scheme, **{scheme: "."}).scheme == scheme


def test_one_fold_is_none():
    with pytest.raises(UserError, match="folds"):
        ProtocolOptions(folds=1)


@pytest.mark.parametrize("seed", [float("nan"), float("inf")])
def test_a_seed_that_is_no_number_is_refused(seed):
    with pytest.raises(UserError, match="finite"):
        ProtocolOptions(seeds=(seed,))
