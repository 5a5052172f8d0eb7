"""The process's own watchdog."""

from __future__ import annotations

import signal

import pytest

from vpoller_like.worker.guard import LAST_SECONDS, LENIENCY, Guard

#: Seconds after which the supervisor would kill the process.
STUCK = 15.0


class Alarm:
    """Stands for the kernel's alarm and for the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.seconds = 0.0
        self.actions: dict[int, object] = {}
        monkeypatch.setattr(signal, "setitimer", self._set)
        monkeypatch.setattr(signal, "signal", self.actions.__setitem__)

    def _set(self, which: int, seconds: float) -> None:
        assert which == signal.ITIMER_REAL
        assert seconds > 0, "zero would switch the alarm off"
        self.seconds = seconds


@pytest.fixture
def alarm(monkeypatch: pytest.MonkeyPatch) -> Alarm:
    return Alarm(monkeypatch)


def test_a_loop_that_stands_still_is_ended_by_the_kernel(alarm: Alarm) -> None:
    guard = Guard(STUCK, lambda: alarm.now)
    guard.beat()
    assert alarm.seconds == pytest.approx(STUCK * LENIENCY)
    assert alarm.actions == {signal.SIGALRM: signal.SIG_DFL}


def test_beats_put_the_end_off_no_further_than_it_may_be(alarm: Alarm) -> None:
    guard = Guard(STUCK, lambda: alarm.now)
    guard.expect_end(30.0)
    assert alarm.seconds == pytest.approx(STUCK * LENIENCY)
    alarm.now += 35.0
    guard.beat()
    assert alarm.seconds == pytest.approx(LAST_SECONDS - 5.0)
    alarm.now += 60.0
    guard.beat()
    assert 0 < alarm.seconds < 0.01


def test_what_takes_long_may_be_allowed_to(alarm: Alarm) -> None:
    guard = Guard(STUCK, lambda: alarm.now)
    guard.allow(120.0)
    assert alarm.seconds == 120.0
