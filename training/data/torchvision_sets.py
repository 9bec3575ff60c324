"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 through torchvision, downloaded only when the user allows it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from training.data.dataset import Dataset, DatasetError, make_dataset

DATA_VARIABLE = "UNLEARNSCAPE_DATA"


def data_folder() -> Path:
    """Where downloaded data lie: ``$UNLEARNSCAPE_DATA``, else the user's cache folder."""
    given = os.environ.get(DATA_VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "unlearnscape"


def find_file(name: str, root: Path | str | None = None) -> Path:
    """A file or folder by its path, or by a relative one below the data folder where it is not here."""
    path = Path(name).expanduser()
    below = (Path(root) if root else data_folder()) / path
    return below if not path.exists() and not path.is_absolute() and below.exists() else path


def load_mnist(*, download: bool = False, root: Path | str | None = None) -> Dataset:
    """MNIST: 60,000 and 10,000 images of 28×28 (LeCun et al. 1998)."""
    return _load("mnist", "MNIST", download, root)


def load_fashion_mnist(*, download: bool = False, root: Path | str | None = None) -> Dataset:
    """Fashion-MNIST: 60,000 and 10,000 images of 28×28 (Xiao, Rasul and Vollgraf 2017)."""
    return _load("fashion-mnist", "FashionMNIST", download, root)


def load_cifar10(*, download: bool = False, root: Path | str | None = None) -> Dataset:
    """CIFAR-10: 50,000 and 10,000 images of 32×32×3 (Krizhevsky 2009)."""
    return _load("cifar10", "CIFAR10", download, root)


def load_cifar100(*, download: bool = False, root: Path | str | None = None) -> Dataset:
    """CIFAR-100: 50,000 and 10,000 images of 32×32×3 in 100 fine classes (Krizhevsky 2009)."""
    return _load("cifar100", "CIFAR100", download, root)


def _load(name: str, kind: str, download: bool, root: Path | str | None) -> Dataset:
    from torchvision import datasets  # takes a second to import, and most experiments need none of it

    folder = Path(root) if root else data_folder()
    try:
        train, test = (getattr(datasets, kind)(folder, train=part, download=download) for part in (True, False))
    except (RuntimeError, OSError, ValueError, AssertionError) as error:
        if download:
            raise DatasetError(f"{name} could not be downloaded ({' '.join(str(error).split())[:120]}).") from None
        raise DatasetError(
            f"{name} is not in {folder}, or is damaged there; allow its download with --download, or put torchvision's "
            "files there."
        ) from None
    arrays = (np.asarray(part) for part in (train.data, train.targets, test.data, test.targets))
    return make_dataset(name, *arrays, where=name)
