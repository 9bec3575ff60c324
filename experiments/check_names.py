"""Which metrics of a run are, by their names, the mean loss of its weights, and on which data."""

from __future__ import annotations

from collections.abc import Iterable

TRAIN, TEST = {"train", "training", "clean"}, {"test", "eval", "val", "valid", "validation"}
LOOKED_AT = "train_loss, loss, test_loss, eval_loss, val_loss"  # what is said to be looked at


def loss_metrics(names: Iterable[str]) -> dict[str, str]:
    """``{metric: "train" or "test"}`` of what is such a loss, that of training first.

    ``loss`` without more is taken for that of training. ``batch_loss`` is none, as it is of a few samples.
    """
    found = {}
    for name in sorted(names):
        *words, last = name.lower().replace("/", "_").replace("-", "_").split("_")
        if last == "loss" and set(words) <= TRAIN | TEST:
            found[name] = "test" if set(words) & TEST else "train"
    return dict(sorted(found.items(), key=lambda item: (item[1] == "test", item[0] == "loss", item[0])))
