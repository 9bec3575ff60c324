"""Data from an ``.npz`` file with ``x_train``, ``y_train``, ``x_test`` and ``y_test``."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from training.data.dataset import Dataset, DatasetError, make_dataset

NAMES = ("x_train", "y_train", "x_test", "y_test")
MAX_BYTES = 8 << 30  # uncompressed


def load_npz(path: Path) -> Dataset:
    """Read a data set from a file; pickled objects are never loaded. Raises :class:`DatasetError`."""
    if not path.is_file():
        raise DatasetError(f"There is no data file {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info.file_size for info in archive.infolist()}
        missing = [name for name in NAMES if f"{name}.npy" not in members]
        if missing:
            raise DatasetError(f"{path} lacks {', '.join(missing)}; it must hold {', '.join(NAMES)}.")
        if sum(members[f"{name}.npy"] for name in NAMES) > MAX_BYTES:
            raise DatasetError(f"{path} unpacks to more than {MAX_BYTES >> 30} GiB; give a smaller file.")
        with np.load(path, allow_pickle=False) as archive:
            arrays = [archive[name] for name in NAMES]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        if isinstance(error, DatasetError):
            raise
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise DatasetError(
                f"{path} holds Python objects, which are not loaded; save plain numeric arrays."
            ) from None
        raise DatasetError(f"{path} is not a readable .npz file; save it again with numpy.savez.") from None
    return make_dataset(path.stem, *arrays, where=str(path))
