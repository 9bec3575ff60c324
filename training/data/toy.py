"""The toy task of Ye, Su and Qian (2025): ten Gaussian classes in twelve dimensions."""

from __future__ import annotations

import numpy as np

from training.data.dataset import Dataset


def load_toy(
    *, n_samples: int = 5000, n_features: int = 12, n_classes: int = 10, class_sep: float = 1.5, seed: int = 0
) -> Dataset:
    """5,000 samples from scikit-learn's ``make_classification``, one cluster a class, 80 % for training.

    Features are divided by their standard deviation over the training set.
    """
    from sklearn.datasets import make_classification  # takes most of a second to import
    from sklearn.model_selection import train_test_split

    x, y = make_classification(
        n_samples=n_samples,
        n_features=n_features,
        n_informative=n_features,
        n_redundant=0,
        n_repeated=0,
        n_classes=n_classes,
        n_clusters_per_class=1,
        class_sep=class_sep,
        flip_y=0.0,
        random_state=seed,
    )
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
    scale = x_train.std(axis=0)
    return Dataset(
        "toy",
        (x_train / scale).astype(np.float32),
        y_train.astype(np.int64),
        (x_test / scale).astype(np.float32),
        y_test.astype(np.int64),
        n_classes,
        "features",
    )
