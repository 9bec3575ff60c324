"""A job in the background steps back, with its whole session where that is what counts."""

import os
import subprocess
import sys

import pytest

from commands.priority import SESSION

ASK = """
import os
from commands import priority
priority.step_back()
first = os.nice(0), priority.SESSION.read_text() if priority.SESSION.is_file() else ""
priority.step_back(12)
print(*first, os.nice(0), sep="|")
"""


def ask(**how):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("UNLEARNSCAPE_")}
    environment |= how.pop("env", {})
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True, **how
    )
    assert not done.stderr
    first, session, then = done.stdout.strip().split("|")
    return int(first), session, int(then)


def test_a_job_steps_back_with_its_session_and_further_but_never_forward():
    here = os.nice(0)
    job = {"UNLEARNSCAPE_PROGRESS": "progress.json", "UNLEARNSCAPE_NICE": "2"}
    first, session, then = ask(env=job, start_new_session=True)
    assert (first, then) == (min(19, here + 2), min(19, here + 12))
    if SESSION.is_file():
        assert session.split()[-1] == str(first)
    first, _, then = ask(env=job | {"UNLEARNSCAPE_NICE": "14"}, start_new_session=True)
    assert then == first == min(19, here + 14)


@pytest.mark.skipif(not SESSION.is_file(), reason="sessions share the processors out by niceness alone here")
def test_others_of_the_same_session_stay_where_they_are():
    before = SESSION.read_text()
    ask(env={"UNLEARNSCAPE_PROGRESS": "progress.json", "UNLEARNSCAPE_NICE": "15"})
    assert SESSION.read_text() == before


def test_what_is_no_job_stays_where_it_is():
    assert ask()[::2] == (os.nice(0), os.nice(0))
