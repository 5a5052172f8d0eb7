"""Which workers an operator means by a name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from vpoller_like.broker.worker import Worker
from vpoller_like.errors import TaskFailed

#: A worker's name, its process's number, and the hosts of one of that process's lanes.
_LABEL = re.compile(r"((.+?)/[0-9]+)(?::.*)?", re.DOTALL)


def name_of(label: str) -> str:
    """Return the name of the worker with this ``label``.

    ``node`` for ``node/3``, a process of it, and for ``node/3:vc01``, a lane of that.
    """
    parts = _LABEL.fullmatch(label)
    return label if parts is None else parts[2]


def process_of(label: str) -> str:
    """Return the label of the whole process: ``node/3`` for ``node/3:vc01``."""
    parts = _LABEL.fullmatch(label)
    return label if parts is None else parts[1]


def lanes_of(workers: Iterable[Worker], asked: str) -> list[Worker]:
    """Return all lanes of all processes of the worker that ``asked`` or its label names.

    Never by a part of the name: the next worker's may begin with it. Raises ``TaskFailed``
    with the nearest name where no such worker is registered.
    """
    registered = list(workers)
    name = asked if _is_name(asked, registered) else name_of(asked)
    found = [worker for worker in registered if name_of(worker.label) == name]
    if not found:
        names = sorted({name_of(worker.label) for worker in registered})
        raise TaskFailed(
            f"no worker {asked} is registered; {_hint(asked, names)}", reason="not_found"
        )
    return sorted(found, key=lambda worker: worker.label)


def _is_name(asked: str, workers: Iterable[Worker]) -> bool:
    return any(name_of(worker.label) == asked for worker in workers)


def _hint(asked: str, names: list[str]) -> str:
    near = get_close_matches(asked, names, 1, 0.5)
    return f"did you mean {near[0]}?" if near else "`vpoller workers` lists those that are"
