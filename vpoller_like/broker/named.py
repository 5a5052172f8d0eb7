"""Which workers an operator means by a name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from vpoller_like.broker.worker import Worker
from vpoller_like.errors import TaskFailed


def name_of(label: str) -> str:
    """Return the name of the worker whose process has this ``label``: ``node`` for ``node/3``."""
    name, _, index = label.rpartition("/")
    return name if name and index.isdecimal() else label


def processes_of(workers: Iterable[Worker], asked: str) -> list[Worker]:
    """Return all processes of the worker that ``asked`` names, or one process's label does.

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
