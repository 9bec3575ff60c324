"""Bookmarks: views of the app under a name, one small file each, so that no writer can lose another's.

A file in ``<home>/bookmarks`` holds a name, a page and the query of its address. It is written atomically and read with
suspicion: what is damaged or foreign is left out of the list and left where it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from checkpoints import CheckpointError, write_bytes
from experiments.catalogue import home
from experiments.experiment import ExperimentError

LONGEST_NAME = 60  # characters
LONGEST_QUERY = 4000  # characters
LARGEST_FILE = 20_000  # bytes
MOST = 200
PAGE = re.compile(r"[a-z_]{0,40}\Z")


class BookmarkError(ExperimentError):
    """A bookmark that cannot be kept, renamed or deleted; one sentence with the remedy."""


@dataclass(frozen=True)
class Bookmark:
    """One view: its name, the page's path (empty for home), and the query of the address without the ``?``."""

    name: str
    page: str
    query: str
    saved: float = 0.0  # seconds since 1970

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The query as pairs, in its order."""
        return parse_qsl(self.query, keep_blank_values=True)


def list_bookmarks() -> list[Bookmark]:
    """All readable bookmarks, by name."""
    found = [_read(path) for path in sorted(_folder().glob("*.json"))] if _folder().is_dir() else []
    return sorted((one for one in found if one is not None), key=lambda one: one.name.casefold())


def save_bookmark(name: str, page: str, query: str, *, replace: bool = False) -> Bookmark:
    """Keep a view under a name.

    Raises:
        BookmarkError: A name or address that cannot be one, a name that is taken (unless ``replace``), too many
            bookmarks, or a place that cannot be written.
    """
    kept = Bookmark(_checked_name(name), page, query, time.time())
    if not PAGE.match(page):
        raise BookmarkError(f"There is no page {page!r} to keep a view of.")
    if len(query) > LONGEST_QUERY:
        raise BookmarkError(f"The address is longer than {LONGEST_QUERY} characters; reset some controls first.")
    path = _path(kept.name)
    if path.exists() and not replace:
        raise BookmarkError(f"There is a bookmark “{kept.name}” already; choose another name, or replace it.")
    if not path.exists() and len(list(_folder().glob("*.json"))) >= MOST:
        raise BookmarkError(f"There are {MOST} bookmarks already; delete one first.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(asdict(kept), ensure_ascii=False).encode())
    except OSError as error:
        raise BookmarkError(f"The bookmark cannot be kept in {path.parent}: {error.strerror}.") from None
    except CheckpointError as error:
        raise BookmarkError(f"The bookmark cannot be kept: {error}") from None
    return kept


def rename_bookmark(name: str, new: str) -> Bookmark:
    """Give a bookmark another name; raises :class:`BookmarkError` where that is taken or the old one is gone."""
    before = _existing(name)
    same = _path(_checked_name(new)) == _path(before.name)  # as where only capitals change
    after = save_bookmark(new, before.page, before.query, replace=same)
    if not same:
        delete_bookmark(name)
    return after


def delete_bookmark(name: str) -> None:
    """Delete a bookmark; one that is gone already is no error."""
    try:
        _path(_checked_name(name)).unlink(missing_ok=True)
    except OSError as error:
        raise BookmarkError(f"The bookmark “{name}” cannot be deleted: {error.strerror}.") from None


def _existing(name: str) -> Bookmark:
    found = _read(_path(_checked_name(name)))
    if found is None:
        raise BookmarkError(f"There is no bookmark “{name}” any more.")
    return found


def _checked_name(name: str) -> str:
    words = " ".join(name.split())
    if not words or len(words) > LONGEST_NAME or not words.isprintable():
        raise BookmarkError(f"A bookmark's name has 1 to {LONGEST_NAME} printable characters.")
    return words


def _folder() -> Path:
    return home() / "bookmarks"


def _path(name: str) -> Path:
    """Where a name is kept. A digest, so that any name makes a plain file name."""
    return _folder() / f"{hashlib.sha256(name.casefold().encode()).hexdigest()[:24]}.json"


def _read(path: Path) -> Bookmark | None:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        if path.stat().st_size > LARGEST_FILE:
            return None
        record = json.loads(path.read_text())
        found = Bookmark(str(record["name"]), str(record["page"]), str(record["query"]), float(record["saved"]))
        if PAGE.match(found.page) and len(found.query) <= LONGEST_QUERY and _checked_name(found.name) == found.name:
            return found
    return None
