"""A broker with a planted fault: ``python broken_broker.py FAULT broker run ...``.

The kill loop has to fail against each one, or it proves nothing. The core is the one in Python:
in the compiled one no method can be replaced.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from vpoller_like.sources import PURE_VARIABLE

os.environ[PURE_VARIABLE] = "1"

from vpoller_like.broker.admission import Admission
from vpoller_like.broker.dispatcher import Dispatcher
from vpoller_like.broker.memory import Memory
from vpoller_like.broker.seekers import Seekers
from vpoller_like.cli.main import main


def _forget_lost_tasks() -> None:
    def worker_lost(self: Any, task: Any, now: float) -> None:  # noqa: ARG001
        self._leave_worker(task)

    _plant(Dispatcher, "worker_lost", worker_lost)


def _remember_nothing() -> None:
    _plant(Memory, "put", lambda *_: None)
    _plant(Seekers, "_is_found", lambda *_: False)


def _ask_nobody() -> None:
    _plant(Admission, "may_have_run", lambda *_: False)


def _plant(owner: type, name: str, fault: Callable[..., Any]) -> None:
    # A fault planted beside what it is to replace would be none.
    if name not in vars(owner):
        raise SystemExit(f"{owner.__name__}.{name} is gone: plant the fault anew")
    setattr(owner, name, fault)


FAULTS = {
    #: The tasks of a worker that is lost are forgotten.
    "requeue": _forget_lost_tasks,
    #: Replies are not remembered, nor are the workers believed that do.
    "memory": _remember_nothing,
    #: Ids that an earlier broker may have known are taken for new.
    "whohas": _ask_nobody,
}

if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    sys.exit(main())
