"""Data from an ``.npz`` file with ``x_train``, ``y_train``, ``x_test`` and ``y_test``."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from training.data.dataset import Dataset, DatasetError, make_dataset

NAMES = ("x_train", "y_train", "x_test", "y_test")
MAX_BYTES = 8 << 30  # of all arrays in memory, where inputs take at least four bytes a value


def load_npz(path: Path) -> Dataset:
    """Read a data set from a file; pickled objects are never loaded. Raises :class:`DatasetError`.

    8-bit images are divided by 255; other images must lie in [0, 1] already. Images may be [N, H, W], [N, C, H, W] or
    [N, H, W, C]; two-dimensional inputs are feature vectors and stay as they are.
    """
    if not path.is_file():
        raise DatasetError(f"There is no data file {path}, neither here nor in the folder UNLEARNSCAPE_DATA names.")
    try:
        with zipfile.ZipFile(path) as archive:
            missing = [name for name in NAMES if f"{name}.npy" not in archive.namelist()]
            if missing:
                raise DatasetError(f"{path} lacks {', '.join(missing)}; it must hold {', '.join(NAMES)}.")
            if sum(_declared_bytes(archive, name, path) for name in NAMES) > MAX_BYTES:
                raise DatasetError(f"{path} unpacks to more than {MAX_BYTES >> 30} GiB; give a smaller file.")
            arrays = [_read(archive, name) for name in NAMES]
    except DatasetError:
        raise
    except Exception as error:  # a hostile file can make any layer of the format fail in its own way
        if isinstance(error, PermissionError):
            raise DatasetError(f"{path} may not be read; change its permissions.") from None
        raise DatasetError(f"{path} is not a readable .npz file; save it again with numpy.savez.") from None
    return make_dataset(path.stem, *arrays, where=str(path))


def _declared_bytes(archive: zipfile.ZipFile, name: str, path: Path) -> int:
    """Memory an array asks for by its header, which is checked against the size of its member before any is taken."""
    with archive.open(f"{name}.npy") as member:
        version = npy.read_magic(member)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, _, dtype = read_header(member)
        held = archive.getinfo(f"{name}.npy").file_size - member.tell()
    if dtype.hasobject:
        raise DatasetError(f"{path} holds Python objects in {name}, which are not loaded; save plain numeric arrays.")
    if held != math.prod(shape) * dtype.itemsize:
        raise DatasetError(f"{path} declares another size of {name} than it holds; save it again with numpy.savez.")
    return math.prod(shape) * max(dtype.itemsize, 4)


def _read(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    with archive.open(f"{name}.npy") as member:
        array: NDArray[np.generic] = npy.read_array(member, allow_pickle=False)
    return array
