"""Running averages are told from a run's own numbers, and nothing else is taken for one."""

import numpy as np
import pytest

from experiments.check_average import Recorded, average_of
from experiments.check_names import loss_metrics

PER_EPOCH, T = 20, 120


def losses_of(steps, seed=0):
    """Losses that fall towards a floor at these steps, and of batches before every step 1, 2, …."""
    chance = np.random.default_rng(seed)
    every = 0.4 + 1.6 * np.exp(-np.arange(T + 1) / 30)
    batches = np.r_[np.nan, every[:-1] + 0.05 * chance.standard_normal(T)]
    return every[steps], batches


def kept(batches, share=0.9):
    found = [np.nan, batches[1]]
    for batch in batches[2:]:
        found.append(share * found[-1] + (1 - share) * batch)
    return np.array(found)


def so_far(batches):
    found = [np.mean(batches[1 + (s - 1) // PER_EPOCH * PER_EPOCH : s + 1]) for s in range(1, T + 1)]
    return np.array([np.nan, *found])


def whole(batches):
    means = batches[1:].reshape(-1, PER_EPOCH).mean(1)
    return np.array([np.nan if s < PER_EPOCH else means[s // PER_EPOCH - 1] for s in range(T + 1)])


def of_all(batches):
    return np.r_[np.nan, np.cumsum(batches[1:]) / np.arange(1, T + 1)]


def recorded(stored, every=1, *, batches=True, epochs="part"):
    steps = np.arange(0, T + 1, every)
    losses, batch = losses_of(steps)
    epoch = {"part": steps / PER_EPOCH, "number": np.maximum(steps - 1, 0) // PER_EPOCH, "none": np.nan * steps}[epochs]
    shown = batch[steps] if batches else np.full(len(steps), np.nan)
    return Recorded(steps, epoch.astype(float), stored(batch)[steps], losses, shown)


KINDS = {"the epoch so far": so_far, "the last whole epoch": whole, "all steps so far": of_all}


@pytest.mark.parametrize("kind", KINDS)
def test_averages_of_recorded_batches_are_told_exactly(kind):
    run = recorded(KINDS[kind])
    told = average_of(run)
    assert f"it is the mean of batch_loss over {kind}" in told.words
    assert all(told.explains(i, run.stored[i]) for i in range(60, 80))
    assert not told.explains(60, run.stored[60] * 1.01)


def test_epochs_may_be_numbered():
    assert "over the epoch so far" in average_of(recorded(so_far, epochs="number")).words
    assert average_of(recorded(so_far, epochs="none")) is None


def test_an_exponential_average_and_its_factor_are_told_exactly():
    assert "average of batch_loss that keeps 0.9 of itself at each step" in average_of(recorded(kept)).words


def test_an_average_since_the_last_one_needs_every_batch_between():
    run = recorded(
        lambda batch: np.array([np.mean(batch[max(s - 9, 1) : s + 1]) if s else np.nan for s in range(T + 1)])
    )
    steps = run.steps
    sparse = np.where(steps % 10 == 0, run.stored, np.nan)
    told = average_of(Recorded(steps, np.nan * steps, sparse, run.losses, run.batch))
    assert "the mean of batch_loss over the steps since it was stored last" in told.words
    with_gap = np.where(steps % 10 == 5, np.nan, run.batch)
    assert average_of(Recorded(steps, np.nan * steps, sparse, run.losses, with_gap)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_without_batches_averages_are_told_from_recomputed_losses(kind):
    run = recorded(KINDS[kind], 5, batches=False)
    told = average_of(run)
    assert f"it is near the mean of the recomputed losses over {kind}" in told.words
    assert "% of the loss" in told.words
    assert told.explains(15, run.stored[15])
    assert not told.explains(15, run.stored[15] + 1)


def test_without_batches_an_exponential_average_is_told():
    assert "exponential average of the recomputed losses" in average_of(recorded(kept, 5, batches=False)).words


OTHERS = {
    "a single batch": lambda batch: batch,
    "an offset, as of a penalty": lambda batch: losses_of(np.arange(T + 1))[0] + 0.3,
    "a factor, as of augmentation": lambda batch: 1.3 * batch,
    "these very weights": lambda batch: losses_of(np.arange(T + 1))[0],
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("every", [1, 5])
def test_nothing_else_is_taken_for_an_average(kind, every):
    assert average_of(recorded(OTHERS[kind], every)) is None
    assert average_of(recorded(OTHERS[kind], every, batches=False)) is None


def test_too_few_checkpoints_tell_nothing():
    assert average_of(recorded(whole, 20, batches=False)) is None


def test_losses_are_known_by_their_names():
    names = ["loss", "val_loss", "train/loss", "test_loss", "eval_loss", "batch_loss", "lr", "loss_scale"]
    assert loss_metrics(names) == {
        "train/loss": "train",
        "loss": "train",
        "eval_loss": "test",
        "test_loss": "test",
        "val_loss": "test",
    }
