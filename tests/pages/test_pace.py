"""Pages that move look less often the more of them there are, and change their pace seldom."""

import pytest

from pages.pace import SHARE, SLOWEST, Pace


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def live(pace, clock, sessions, *, seconds, cost, base=0.4):
    """Let sessions look for a while: the share of a core that their looks took, and how often paces changed."""
    present = dict.fromkeys(sessions, base)
    due = dict.fromkeys(sessions, clock.now)
    taken, changes, end = 0.0, 0, clock.now + seconds
    settled = end - seconds / 2
    while clock.now < end:
        session = min(due, key=due.get)
        clock.now = max(clock.now, due[session])
        pace.looked(session, present[session], cost)
        wanted = pace.seconds(base, present[session])
        taken += cost * (clock.now > settled)
        changes += (wanted != present[session]) * (clock.now > settled)
        present[session] = wanted
        due[session] = clock.now + wanted
    return taken / (seconds / 2), changes, present


def test_a_session_alone_keeps_its_pace():
    clock = Clock()
    share, changes, present = live(Pace(clock), clock, ["one"], seconds=60, cost=0.04)
    assert present == {"one": 0.4}
    assert (share, changes) == (pytest.approx(0.1, rel=0.05), 0)


@pytest.mark.parametrize("count", [5, 20, 60])
def test_many_take_no_more_than_their_share_and_do_not_waver(count):
    clock = Clock()
    share, changes, present = live(Pace(clock), clock, [str(i) for i in range(count)], seconds=120, cost=0.04)
    assert SHARE / 2.2 < share < 1.1 * SHARE
    assert changes == 0
    assert len(set(present.values())) == 1


def test_those_who_leave_make_room_and_none_waits_for_ever():
    clock = Clock()
    pace = Pace(clock)
    many = [str(i) for i in range(20)]
    live(pace, clock, many, seconds=30, cost=0.04)
    assert pace.seconds(0.4) > 1
    _, _, present = live(pace, clock, many[:1], seconds=30, cost=0.04)
    assert present == {"0": 0.4}
    for session in map(str, range(1000)):
        pace.looked(session, 0.4, 0.5)
    assert pace.seconds(0.4) == pytest.approx(SLOWEST)


def test_costs_that_waver_about_a_bound_do_not_change_the_pace_at_every_look():
    clock = Clock()
    pace = Pace(clock)
    present, seen = 0.4, []
    for i in range(200):
        clock.now += 0.1
        for session in range(5):
            pace.looked(str(session), present, 0.8 * SHARE / 5 * (1.15 if i % 2 else 0.85))
        present = pace.seconds(0.4, present)
        seen.append(present)
    assert len(set(seen[20:])) == 1
