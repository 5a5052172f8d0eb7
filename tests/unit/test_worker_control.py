"""What a worker process and its supervisor tell each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vpoller_like.worker.control import Beat, Done, Failed, Reporter, Reports, Stuck, Up, pair


class Line:
    """Both ends of one connection."""

    def __init__(self) -> None:
        ours, theirs = pair()
        self.reports = Reports(ours)
        self.reporter = Reporter(theirs.detach())

    def hang_up(self) -> None:
        self.reporter._socket.close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.reports.close()
    made.hang_up()


def test_reports_arrive_whole_and_in_order(line: Line) -> None:
    said = [Up(), Beat(), Failed("no such agent"), Stuck(7.5), Done()]
    for report in said:
        line.reporter.send(report)
    assert line.reports.read() == said
    assert line.reports.read() == []
    assert not line.reports.closed


def test_what_was_said_last_is_heard_after_the_end(line: Line) -> None:
    line.reporter.send(Failed("why"))
    line.hang_up()
    assert line.reports.read() == [Failed("why")]
    assert line.reports.closed


def test_what_is_no_report_is_skipped(line: Line) -> None:
    line.reporter._socket.send(b"\xff nothing that anybody means")
    line.reporter._socket.send(b'{"type":"unheard of"}')
    line.reporter.send(Beat())
    assert line.reports.read() == [Beat()]


def test_a_process_notices_that_its_supervisor_is_gone(line: Line) -> None:
    assert not line.reporter.closed()
    line.reports.close()
    assert line.reporter.closed()


def test_a_process_whose_supervisor_does_not_listen_is_not_held_up(line: Line) -> None:
    for _ in range(10_000):
        line.reporter.send(Beat())
    assert line.reports.read()
    line.reports.close()
    line.reporter.send(Beat())
