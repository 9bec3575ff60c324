"""Which steps are recorded."""

import itertools

import pytest

from checkpoints import CheckpointError, DenseThenSparse, EveryEpochs, EverySteps
from checkpoints.schedule import as_schedule


def due(schedule, steps, per_epoch=None):
    return [s for s in range(1, steps + 1) if schedule.due(s, None if per_epoch is None else s / per_epoch)]


def test_every_so_many_steps():
    assert due(EverySteps(4), 10) == [4, 8]
    assert as_schedule(4) == EverySteps(4)


@pytest.mark.parametrize("per_epoch", [1, 3, 7, 469])
def test_whole_epochs_are_found_through_rounding(per_epoch):
    assert due(EveryEpochs(), 5 * per_epoch, per_epoch) == [per_epoch * k for k in range(1, 6)]
    assert due(EveryEpochs(2), 5 * per_epoch, per_epoch) == [per_epoch * k for k in (2, 4)]


def test_dense_at_first_then_a_fixed_number_while_steps_double():
    kept = due(DenseThenSparse(4), 1024)
    assert kept[:8] == [1, 2, 3, 4, 5, 6, 7, 8]
    for k in range(4, 10):
        assert len([s for s in kept if 2**k <= s < 2 ** (k + 1)]) == 4
        assert 2**k in kept
    gaps = [b - a for a, b in itertools.pairwise(kept)]
    assert all(b >= a - 1 for a, b in itertools.pairwise(gaps)), "never denser again"


@pytest.mark.parametrize("wrong", [0, -3, "weekly", 2.5, True])
def test_anything_else_is_refused_in_one_sentence(wrong):
    with pytest.raises(CheckpointError):
        as_schedule(wrong)


def test_epochs_are_asked_for_where_they_decide():
    with pytest.raises(CheckpointError, match="step\\(epoch=…\\)"):
        EveryEpochs().due(3, None)
