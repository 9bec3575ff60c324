"""Files of results: each is read once for a report, and never an older state of it."""

import os
from collections import Counter

import pytest

from checkpoints import CheckpointError, read_result, write_result
from experiments import stored, summarise
from experiments.report import report_html
from experiments.stored import SURFACE_KIND, each_file_once, read_stored


@pytest.fixture
def reads(monkeypatch):
    """How often each file is read."""
    found = Counter()

    def counted(path, *, kind):
        found[path.name] += 1
        return read_result(path, kind=kind)

    monkeypatch.setattr(stored, "read_result", counted)
    return found


def test_a_report_and_a_summary_read_each_result_once(toy, reads):
    files = {path.name for folder in ("surfaces", "sal") for path in toy.result_files(folder)}
    page = report_html(toy)
    assert set(reads) == files
    assert set(reads.values()) == {1}
    reads.clear()
    summarise(toy)
    assert set(reads) == files
    assert set(reads.values()) == {1}
    assert report_html(toy) == page


def test_a_file_that_changed_is_read_again_and_nothing_is_kept_for_later(toy, reads):
    (path,) = toy.result_files("surfaces")
    first = read_stored(path, SURFACE_KIND)
    with each_file_once():
        assert read_stored(path, SURFACE_KIND) is read_stored(path, SURFACE_KIND)
        with each_file_once():
            read_stored(path, SURFACE_KIND)
        assert reads[path.name] == 2
        write_result(path, kind=SURFACE_KIND, header=first.header | {"samples": 7}, arrays=first.arrays)
        assert read_stored(path, SURFACE_KIND).header["samples"] == 7
        os.utime(path, ns=(1, 1))
        read_stored(path, SURFACE_KIND)
        assert reads[path.name] == 4
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(CheckpointError, match="cut"):
            read_stored(path, SURFACE_KIND)
        path.unlink()
        with pytest.raises(CheckpointError, match="no file"):
            read_stored(path, SURFACE_KIND)
    write_result(path, kind=SURFACE_KIND, header=first.header, arrays=first.arrays)
    reads.clear()
    read_stored(path, SURFACE_KIND)
    read_stored(path, SURFACE_KIND)
    assert reads[path.name] == 2
