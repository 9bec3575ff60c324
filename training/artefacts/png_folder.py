"""A folder of PNG images, one for each training sample: final, poisoned, 8-bit.

TAP (Fowl et al., NeurIPS 2021), AR (Sandoval-Segura et al., NeurIPS 2022), the ISS repository (Liu, Zhao and Larson,
ICML 2023) and APBench write ``<root>/<i>.png`` or ``<root>/data/<i>.png``, i not zero-padded, so that names must be
sorted as numbers. Large images lie in class folders ``<root>/<label>/<j>.png``.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from checkpoints.durable import cannot_write
from training.artefacts.artefact import Artefact, ArtefactError, Progress, check_size

CHANNELS_OF_MODE = {"L": 1, "RGB": 3, "RGBA": 4}
MAX_SIDE = 4096
MAX_FILE = 128 << 20


def read(path: Path, progress: Progress | None = None) -> Artefact:
    """Read every image of the folder. Raises :class:`ArtefactError`."""
    if not path.is_dir():
        raise ArtefactError(f"There is no folder {path}.")
    folder = path / "data" if not _pictures(path) and (path / "data").is_dir() else path
    numbered = _pictures(folder)
    if numbered:
        ids = np.array(list(numbered), np.int64)
        in_order = np.array_equal(ids, np.arange(len(ids)))
        images = _load(list(numbered.values()), progress)
        return Artefact("png", f"images of {folder}", images=images, index=None if in_order else ids)
    return _class_folders(folder, progress)


def write(path: Path, images: NDArray[np.uint8], progress: Progress | None = None) -> None:
    """Write images [N, C, H, W] as ``<path>/data/<i>.png``; the folder appears only when it is complete."""
    from PIL import Image

    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ArtefactError(f"{path} exists already; choose another folder or remove it.")
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        (temporary / "data").mkdir()
        for i, image in enumerate(images):
            pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
            Image.fromarray(np.ascontiguousarray(pixels)).save(temporary / "data" / f"{i}.png")
            _tell(progress, i + 1, len(images))
        temporary.chmod(0o755)
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _pictures(folder: Path) -> dict[int, Path]:
    """The numbered PNG files of a folder by number, in the order of numbers."""
    found: dict[int, Path] = {}
    for file in folder.iterdir():
        if file.suffix.lower() != ".png" or file.name.startswith("."):
            continue
        if not (file.stem.isascii() and file.stem.isdigit() and len(file.stem) <= 12):
            raise ArtefactError(f"{file} has no number for a name; images are called 0.png, 1.png, ….")
        number = int(file.stem)
        if number in found:
            raise ArtefactError(f"{folder} holds image {number} twice, as {found[number].name} and {file.name}.")
        found[number] = file
    return dict(sorted(found.items()))


def _class_folders(root: Path, progress: Progress | None) -> Artefact:
    labels, numbers, files = [], [], []
    folders = [f for f in root.iterdir() if f.is_dir() and f.name.isascii() and f.name.isdigit() and len(f.name) <= 6]
    for folder in sorted(folders, key=lambda f: int(f.name)):
        pictures = _pictures(folder)
        labels += [int(folder.name)] * len(pictures)
        numbers += list(pictures)
        files += list(pictures.values())
    if not files:
        raise ArtefactError(f"{root} holds no images 0.png, 1.png, …, neither itself nor in data/ or class folders.")
    # One running number over all classes is the position in the data set; else it counts within the class.
    running = np.array_equal(np.sort(numbers), np.arange(len(numbers))) and len(folders) > 1
    return Artefact(
        "png",
        f"images in the {len(folders)} class folders of {root}",
        images=_load(files, progress),
        labels=np.array(labels, np.int64),
        index=np.array(numbers, np.int64) if running else None,
        by_class=not running,
    )


def _load(files: list[Path], progress: Progress | None) -> NDArray[np.uint8]:
    first = _decode(files[0])
    shape = (len(files), *first.shape)
    check_size(shape, 1, str(files[0].parent))
    images = np.empty(shape, np.uint8)
    for i, file in enumerate(files):
        image = _decode(file)
        if image.shape != first.shape:
            raise ArtefactError(
                f"{file} is an image of shape {list(image.shape)}, {files[0].name} one of {list(first.shape)}; "
                "all must be alike."
            )
        images[i] = image
        _tell(progress, i + 1, len(files))
    return images


def _decode(file: Path) -> NDArray[np.uint8]:
    """One image as [C, H, W]; its size is looked at before it is unpacked."""
    from PIL import Image

    try:
        if file.stat().st_size > MAX_FILE:
            raise ArtefactError(f"{file} is larger than {MAX_FILE >> 20} MiB; it is no image of a data set.")
        data = file.read_bytes()
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.verify()  # checksums to the last chunk; decoding alone stops at the last pixel
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if max(image.size) > MAX_SIDE:
                raise _too_large(file)
            if image.mode not in CHANNELS_OF_MODE:
                raise ArtefactError(f"{file} is a PNG of mode {image.mode}; 8-bit grey or RGB is needed.")
            pixels = np.asarray(image)
    except ArtefactError:
        raise
    except Image.DecompressionBombError:
        raise _too_large(file) from None
    except Exception as error:  # a damaged image fails in many ways
        if isinstance(error, PermissionError):
            raise ArtefactError(f"{file} may not be read; change its permissions.") from None
        raise ArtefactError(f"{file} is damaged or no PNG image.") from None
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _too_large(file: Path) -> ArtefactError:
    return ArtefactError(f"{file} declares an image larger than {MAX_SIDE}×{MAX_SIDE} pixels, which is the limit.")


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None and (done % 64 == 0 or done == total):
        progress(done, total)
