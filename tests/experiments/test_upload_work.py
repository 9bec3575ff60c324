"""Work that a page waits for: its result, its error, its stop, and its end once nobody looks."""

import threading
import time

import pytest

from experiments import upload_work
from experiments.progress import Stopped
from experiments.upload_work import Work, stop_all


def until_told(cleaned):
    def do(stop):
        while not stop():
            time.sleep(0.005)
        cleaned.set()
        raise Stopped

    return do


def test_result_and_error_are_kept():
    assert Work(lambda stop: 7).result() == 7
    failing = Work(lambda stop: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failing.result()
    assert failing.done()


@pytest.mark.parametrize("end", [lambda work: work.stop(), lambda work: stop_all()])
def test_a_stop_returns_once_it_has_cleaned_up(end):
    cleaned = threading.Event()
    work = Work(until_told(cleaned))
    assert not work.done()
    end(work)
    assert cleaned.is_set()
    assert work.done()
    with pytest.raises(Stopped):
        work.result()


def test_it_goes_on_while_somebody_looks_and_ends_by_itself(monkeypatch):
    monkeypatch.setattr(upload_work, "ABANDONED", 0.2)
    cleaned = threading.Event()
    work = Work(until_told(cleaned))
    for _ in range(20):
        time.sleep(0.02)
        assert not work.done()
    assert cleaned.wait(5)
