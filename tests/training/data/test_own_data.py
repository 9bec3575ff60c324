"""What a data factory may return, and the one sentence for everything else."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from training import DatasetError, own_data
from training.own_data import as_dataset
from training.own_losses import bce, misfit, mse, next_token

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 3
PAIR = (X, Y)


class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


class Endless(IterableDataset):
    def __iter__(self):
        return iter([])


class Nameless(Dataset):
    def __getitem__(self, i):
        return 0


@pytest.mark.parametrize(
    "part",
    [
        PAIR,
        [X.double().numpy(), Y.numpy().astype(np.int8)],
        (X.tolist(), Y[:, None]),
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True),
        Rows([(x.numpy(), int(y)) for x, y in zip(X, Y, strict=True)]),
    ],
)
def test_all_forms_give_the_same_data(part):
    found = as_dataset("m:f", (part, PAIR))
    assert found.fingerprint == as_dataset("m:f", (PAIR, PAIR)).fingerprint
    assert (found.task, found.n_classes, found.kind, found.input_shape) == ("classification", 3, "features", (3,))


def test_the_task_follows_from_the_targets():
    tokens, image = torch.arange(20).reshape(4, 5), torch.rand(4, 1, 2, 2)
    language = as_dataset("f", ((tokens[:, :-1], tokens[:, 1:]),) * 2)
    pixels = as_dataset("f", ((image, (image[:, 0] > 0.5).int()),) * 2)
    real = as_dataset("f", ((X, X[:, :2].half()),) * 2)
    assert (language.task, language.n_classes, language.kind) == ("language", 20, "tokens")
    assert (pixels.task, pixels.kind) == ("segmentation", "image")
    assert (real.task, real.n_classes, real.y_train.dtype) == ("regression", 2, np.float32)
    assert as_dataset("f", (PAIR, PAIR), real_targets=True).task == "regression"
    assert as_dataset("f", language) is language


WRONG = {
    "returned a Tensor; return (train, test)": X,
    "the training part of m:f is a Tensor; return": PAIR,
    "the test part of m:f is a tuple of 3": (PAIR, (X, Y, Y)),
    "is an IterableDataset": (Endless(), PAIR),
    "does not say how long it is": (Nameless(), PAIR),
    "the training part of m:f is empty": (Rows([]), PAIR),
    "sample 1 cannot be had: KeyError: 1": (Rows({0: (X[0], 1), 5: 0}), PAIR),
    "sample 0 is a int, not a pair": (Rows([1]), PAIR),
    "the input of sample 1 has shape [2], that of sample 0 [3]": (Rows([(X[0], 1), (X[1, :2], 1)]), PAIR),
    "the input of sample 0 is a object; give numbers": (Rows([(object(), 1)]), PAIR),
    "has rows of different lengths": (([[1.0], [1.0, 2.0]], [0, 1]), PAIR),
    "must hold numbers, not <U1": ((["a", "b"], [0, 1]), PAIR),
    "has 6 inputs and 5 targets": ((X, Y[:5]), PAIR),
    "inputs are empty": ((X[:0], Y[:0]), PAIR),
    "inputs are uint8; return them as the network takes them": ((X.byte(), Y), PAIR),
    "hold NaN or infinite values": ((X / 0, Y), PAIR),
    "training inputs are float32 of shape [3], test inputs float32 of shape [2]": (PAIR, (X[:, :2], Y)),
    "training targets are int64 of shape [], test targets float32": (PAIR, (X, Y.float())),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_anything_else_is_refused_in_one_sentence(sentence):
    with pytest.raises(DatasetError) as refused:
        as_dataset("m:f", WRONG[sentence])
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_too_much_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(own_data, "MAX_BYTES", 6 * 3 * 4 - 1)
    with pytest.raises(DatasetError, match="take more than"):
        as_dataset("m:f", (Rows([(X[0], 1), *[None] * 5]), PAIR))


def test_losses_are_means_over_the_batch():
    scores, tokens = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    each = [functional.cross_entropy(scores[i, t], tokens[i, t]) for i in range(2) for t in range(5)]
    assert next_token(scores, tokens).item() == pytest.approx(float(sum(each)) / 10, rel=1e-6)
    column = X[:, :1]
    assert mse(column, X[:, 1]).item() == pytest.approx(float(((X[:, 0] - X[:, 1]) ** 2).mean()), rel=1e-6)
    right = torch.sigmoid(column[:, 0])
    assert bce(column, torch.ones(6)).item() == pytest.approx(float(-right.log().mean()), rel=1e-6)


def test_what_does_not_fit_is_said_before_anything_is_measured():
    scores = torch.zeros(2, 3)
    assert misfit("cross-entropy", scores, Y[:2], 0, 2) == ""
    assert "the label 3 does not fit 3 outputs" in misfit("cross-entropy", scores, Y[:2], 0, 3)
    assert "the label -1 does not fit" in misfit("cross-entropy", scores, Y[:2], -1, 2)
    assert "real numbers" in misfit("cross-entropy", scores, X[:2, 0], 0, 1)
    assert "mse needs as many of both" in misfit("mse", scores, X[:2, 0], 0, 1)
    assert misfit("mse", scores[:, :1], X[:2, 0], 0, 1) == ""
    assert "bce needs them in 0 to 1" in misfit("bce", scores, X[:2], -1, 1)
    assert "[…, scores] for every target" in misfit("next-token", scores, torch.zeros(2, 3, dtype=torch.long), 0, 0)
    assert misfit("next-token", torch.zeros(2, 4, 9), torch.zeros(2, 4, dtype=torch.long), 0, 8) == ""
