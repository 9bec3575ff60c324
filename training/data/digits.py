"""Real handwritten digits that ship with scikit-learn: the embedded default for images."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from training.data.dataset import Dataset


def load_digits(*, size: int = 28, seed: int = 0) -> Dataset:
    """1,797 digits of 8×8 (UCI optical recognition), enlarged bilinearly to ``size``×``size``, 80 % for training.

    Pixels are rounded to 8 bits, so that budgets in 1/255 are exact.
    """
    from sklearn import datasets  # takes most of a second to import
    from sklearn.model_selection import train_test_split

    bunch = datasets.load_digits()
    small = torch.from_numpy(bunch.images.astype(np.float32) / 16.0)[:, None]
    large = functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    x = (np.floor(large.numpy() * 255.0 + 0.5) / 255.0).astype(np.float32)
    y = bunch.target.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
    return Dataset("digits", x_train, y_train, x_test, y_test, 10, "image", eight_bit=True)
