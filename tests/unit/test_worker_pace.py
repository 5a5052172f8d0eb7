"""How long methods take, as a worker sees it."""

from __future__ import annotations

import pytest

from vpoller_like.worker.pace import Pace


def test_nothing_is_known_at_first() -> None:
    assert Pace().slowest(0.0) is None


def test_the_first_run_is_the_average() -> None:
    pace = Pace()
    pace.note("a", 0.25, 0.0)
    assert pace.slowest(0.0) == 0.25


def test_later_runs_move_it_by_an_eighth() -> None:
    pace = Pace()
    pace.note("a", 0.8, 0.0)
    pace.note("a", 0.0, 0.0)
    assert pace.slowest(0.0) == pytest.approx(0.7)


def test_the_slowest_of_those_seen_within_a_second_counts() -> None:
    pace = Pace()
    pace.note("slow", 2.0, 0.0)
    pace.note("quick", 0.1, 0.5)
    assert pace.slowest(1.0) == 2.0
    assert pace.slowest(1.1) == pytest.approx(0.1)
    assert pace.slowest(1.6) is None


def test_a_method_seen_again_is_not_new() -> None:
    pace = Pace()
    pace.note("a", 0.8, 0.0)
    pace.note("a", 0.0, 100.0)
    assert pace.slowest(100.0) == pytest.approx(0.7)


def test_no_run_takes_no_time() -> None:
    pace = Pace()
    pace.note("a", 0.0, 0.0)
    slowest = pace.slowest(0.0)
    assert slowest is not None
    assert slowest > 0
