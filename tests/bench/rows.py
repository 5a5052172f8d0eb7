"""What is measured: one row for each load, workers, size, and with ``meta`` or without."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal, NamedTuple

Workers = Literal["python", "c"]
#: ``run`` and ``map`` are those of a Python client.
Kind = Literal["req", "dealer", "run", "map"]

#: Bytes of the payload: the small one makes a request of about 150 bytes.
SMALL, LARGE = 112, 16_384
#: Requests in one message of a batched submit.
BATCH = 64


class Load(NamedTuple):
    """How many clients of which kind ask, with how many requests under way each."""

    kind: Kind
    clients: int = 1
    window: int = 1
    batch: int = 1
    in_python: bool = False

    @property
    def name(self) -> str:
        """Return what it is called in the tables."""
        if self.kind in ("run", "map"):
            return f"client.{self.kind}"
        if self.kind == "req":
            return f"REQ {self.clients}"
        name = f"batch {self.batch}" if self.batch > 1 else f"DEALER {self.window}"
        return f"{name} pyload" if self.in_python else name


class Row(NamedTuple):
    """One row of the tables."""

    workers: Workers
    load: Load
    payload: int = SMALL
    meta: bool = False

    @property
    def size(self) -> str:
        """Return about how large a request is."""
        return "150B" if self.payload == SMALL else "16KiB"

    @property
    def kind(self) -> str:
        """Return whether requests have ``meta``."""
        return "meta" if self.meta else "bare"

    @property
    def name(self) -> str:
        """Return what it is called, and what ``--only`` is matched with."""
        return f"{self.workers} {self.load.name} {self.size} {self.kind}"


ONE_REQ = Load("req")
MANY_REQ = Load("req", clients=64)
ONE_DEALT = Load("dealer")
WINDOW = Load("dealer", window=64)
FLOOD = Load("dealer", window=1000)
LOADS = (ONE_REQ, MANY_REQ, ONE_DEALT, WINDOW, FLOOD)
#: As many under way as in the largest window, in whole batches.
BATCHED = Load("dealer", window=16 * BATCH, batch=BATCH)
#: What a program in Python gets: from its socket, and from a client's two ways to ask.
IN_PYTHON = (
    Load("dealer", window=64, in_python=True),
    Load("run", in_python=True),
    Load("map", window=64, in_python=True),
)


def all_rows() -> Iterator[Row]:
    """Yield every row, in the order of the tables."""
    both: tuple[Workers, ...] = ("python", "c")
    for workers in both:
        for payload, meta in itertools.product((SMALL, LARGE), (False, True)):
            loads = (*LOADS, BATCHED) if payload == SMALL else LOADS
            yield from (Row(workers, load, payload, meta) for load in loads)
        if workers == "python":
            yield from (Row(workers, load) for load in IN_PYTHON)


def chosen(only: str) -> list[Row]:
    """Return the rows whose name has all the words of one of the parts of ``only``.

    Parts are separated by semicolons; an empty one is all rows.
    """
    parts = [set(part.split()) for part in only.split(";")]
    return [row for row in all_rows() if any(part <= set(row.name.split()) for part in parts)]
