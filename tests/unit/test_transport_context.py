"""What libzmq's own threads are told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from tests.support.fabric import eventually
from vpoller_like.transport.context import new_context

pytestmark = pytest.mark.skipif(
    not hasattr(os, "SCHED_BATCH"), reason="this system has no such policy"
)

TASKS = Path("/proc/self/task")


@contextmanager
def policies() -> Iterator[Callable[[], set[int]]]:
    """Yield what tells the scheduler's policies for the threads of a new context."""
    known = set(os.listdir(TASKS))
    context = new_context()
    try:
        with context.socket(zmq.DEALER) as socket:
            socket.bind("inproc://anywhere")
            yield lambda: {os.sched_getscheduler(int(t)) for t in set(os.listdir(TASKS)) - known}
    finally:
        context.term()


def test_threads_of_libzmq_do_not_interrupt_who_wakes_them() -> None:
    with policies() as found:
        # Each of them says so itself, when it begins.
        eventually(lambda: found() == {os.SCHED_BATCH}, "they are patient")
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_they_are_as_ever_where_that_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """libzmq would end the process."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with policies() as found:
        assert found() == {os.SCHED_OTHER}


def test_they_are_as_ever_where_the_system_knows_no_policies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getscheduler")
    known = set(os.listdir(TASKS))
    context = new_context()
    context.socket(zmq.DEALER).close()
    assert len(set(os.listdir(TASKS)) - known) == 2
    context.term()


def test_who_has_chosen_a_policy_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = os.sched_getscheduler
    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: usual(pid) if pid else os.SCHED_IDLE)
    with policies() as found:
        assert found() == {os.SCHED_OTHER}
