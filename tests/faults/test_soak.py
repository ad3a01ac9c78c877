"""A small share of `make soak`: what tests/study/run/test_interruption.py does not have, and, slow,
each kind once."""

import pytest

from tests.faults.soak import KINDS, Soak


def survived(folder, ways):
    soak = Soak(folder, seed=0, say=lambda text: None)
    for kind, ray in ways:
        for _ in range(5):  # a fault that came too late hit nothing
            if not soak.injected[kind]:
                soak.fault(kind, ray)
    assert soak.failures == []
    assert soak.injected.total() == soak.survived.total() >= len(ways)


def test_a_folder_away_and_a_damaged_file_without_ray(tmp_path):
    survived(tmp_path, [("folder away", False), ("file damaged", False)])


@pytest.mark.slow
def test_a_fault_of_each_kind_without_ray(tmp_path):
    survived(tmp_path, [(kind, False) for kind, (local, _) in KINDS.items() if local])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind, (_, ray) in KINDS.items() if ray])
def test_a_fault_of_each_kind_with_ray(tmp_path, kind):
    survived(tmp_path, [(kind, True)])
