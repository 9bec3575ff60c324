"""Data sets: what one is, the registered ones, any ``.npz`` file, any folder of images or of Taskonomy's shape."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training.data.dataset import Dataset, DatasetError, batches, fingerprint_arrays
from training.data.digits import load_digits
from training.data.image_folder import load_image_folder
from training.data.npz import load_npz
from training.data.rooms import load_rooms
from training.data.taskonomy import load_taskonomy
from training.data.taskonomy_files import DOMAINS, is_taskonomy
from training.data.torchvision_sets import find_file, load_cifar10, load_cifar100, load_fashion_mnist, load_mnist
from training.data.toy import load_toy

DATASETS: dict[str, Callable[..., Dataset]] = {
    "toy": load_toy,
    "digits": load_digits,
    "mnist": load_mnist,
    "fashion-mnist": load_fashion_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "rooms": load_rooms,
    "taskonomy": load_taskonomy,
}
DOWNLOADED = ("mnist", "fashion-mnist", "cifar10", "cifar100")


def load_dataset(
    name: str,
    *,
    download: bool = False,
    root: Path | str | None = None,
    n_train: int | None = None,
    seed: int | None = None,
    **options: Any,
) -> Dataset:
    """Load a data set by registered name, from an ``.npz`` file, or from a folder of images.

    Args:
        name: One of ``DATASETS``, a path that ends with ``.npz``, or the path of a folder with ``train`` and ``test``
            or with the domains of Taskonomy; a relative path is also looked for below ``root``.
        download: Allow torchvision to fetch the data once.
        root: Where downloaded and generated data lie; default ``$UNLEARNSCAPE_DATA``, else the user's cache folder.
        n_train: Training samples to keep, every class in proportion; default all.
        seed: Decides which (0 when not given), and goes to a loader that draws.
        options: The loader's own, such as ``n_samples`` of ``toy`` or ``size`` of a folder.

    Raises:
        DatasetError: Unknown name or option, or data that cannot be used; one sentence.
    """
    for option, value, least in (("n_train", n_train, 1), ("seed", seed, 0)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise DatasetError(f"{option} must be a whole number of at least {least}, not {value!r}.")
    if name not in DATASETS and (folder := find_file(name, root)).is_dir():
        if is_taskonomy(folder):
            given = {"folder": folder} | options | ({} if n_train is None else {"n_train": n_train})
            _check_options(f"The folder {name}", load_taskonomy, options, ("folder", "root"))
            return load_taskonomy(**given, seed=seed or 0)
        if not any((folder / part).is_dir() for part in ("train", "test")):
            raise DatasetError(
                f"{folder} holds neither train and test, as folders of images do, nor a domain of Taskonomy "
                f"({', '.join(DOMAINS)})."
            )
        _check_options(f"The folder {name}", load_image_folder, options, ("folder",))
        return load_image_folder(folder, n_train=n_train, seed=seed or 0, **options)
    loader = DATASETS.get(name)
    if n_train is not None and loader is not None and "n_train" in inspect.signature(loader).parameters:
        options, n_train = options | {"n_train": n_train}, None  # it makes or reads no more than these
    data = _load_whole(name, options, seed, {"download": download, "root": root})
    return data if n_train is None else data.subset(n_train, seed or 0)


def _load_whole(name: str, options: dict[str, Any], seed: int | None, place: dict[str, Any]) -> Dataset:
    if str(name).endswith(".npz"):
        if options:
            raise DatasetError(f"A data file takes no options but n_train and seed; {', '.join(options)} was given.")
        return load_npz(find_file(name, place["root"]))
    if name not in DATASETS:
        if any(mark in name for mark in ("/", "\\")):
            raise DatasetError(f"There is no folder {name}; give one that holds train and test, or an .npz file.")
        close = difflib.get_close_matches(name, DATASETS, n=1)
        known = f"known are {', '.join(DATASETS)}, paths of .npz files and of folders with images."
        raise DatasetError(f"There is no data set called {name!r}; {f'did you mean {close[0]}?' if close else known}")
    loader = DATASETS[name]
    _check_options(name, loader, options, ("download", "root"))
    if seed is not None and "seed" in inspect.signature(loader).parameters:
        options = options | {"seed": seed}
    options = options | {key: place[key] for key in place if key in inspect.signature(loader).parameters}
    try:
        return loader(**options)
    except (ValueError, TypeError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"The data set {name} cannot be made with these options: {error}") from None


def _check_options(
    who: str, loader: Callable[..., Dataset], options: Mapping[str, Any], hidden: tuple[str, ...]
) -> None:
    known = sorted({*inspect.signature(loader).parameters, "n_train", "seed"} - set(hidden))
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise DatasetError(f"{who} has no option {unknown[0]!r}; it knows {', '.join(known)}.")


__all__ = ["DATASETS", "DOWNLOADED", "Dataset", "DatasetError", "batches", "fingerprint_arrays", "load_dataset"]
