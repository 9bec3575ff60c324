"""Writes that survive: to a temporary name, flushed to the disk, then renamed over the final name."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from checkpoints.errors import CheckpointError

try:
    import fcntl
except ImportError:  # pragma: no cover - not on this system; writers are then not kept apart
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".tmp"
_TEMPORARY_NAME = re.compile(rf"\.(.+)\.[^.]+{re.escape(TEMPORARY)}")


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a small file atomically: afterwards it holds either all of ``data`` or what it held before."""
    target = Path(path)
    with replacing(target) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that takes its place when the block ends well.

    The block must flush the file itself. Raises :class:`CheckpointError` when the place cannot be written.
    """
    temporary: Path | None = None
    try:
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=TEMPORARY, dir=target.parent)
        os.close(number)
        temporary = Path(name)
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> CheckpointError:
    """The sentence for a failed write; a temporary file is called by the name it was to have."""
    named = _TEMPORARY_NAME.fullmatch(path.name)
    path = path if named is None else path.with_name(named[1])
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CheckpointError(f"The disk is full: {path} cannot be written; free some space and go on.")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return CheckpointError(f"{path} cannot be written, as its folder is not there; put it back or choose another.")
    reason = error.strerror or str(error)
    return CheckpointError(f"{path} cannot be written ({reason}); free space or choose a folder you may write to.")


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the system can."""
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(number)
    except OSError:
        pass
    finally:
        os.close(number)


class Lock:
    """An advisory lock on a file: two writers never share a run. Released when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise CheckpointError(
                f"{path.parent} is being written by another process; wait for it, or stop it, and try again."
            ) from None

    def release(self) -> None:
        """Let others write."""
        self._file.close()
