"""What is asked: each request follows from the seed and its number alone."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

SAFE, ONCE = "ledger.safe", "ledger.once"


class Request(NamedTuple):
    """One request, and after how many seconds it is asked again, if it is."""

    number: int
    method: str
    seconds: float
    again_after: float | None
    #: Whether its age is said when it is asked again.
    says_age: bool

    @property
    def is_safe(self) -> bool:
        """Whether it may be run twice."""
        return self.method == SAFE

    def message(self, meta: dict[str, Any]) -> dict[str, Any]:
        """Return the request as a client writes it."""
        return {
            "method": self.method,
            "number": self.number,
            "seconds": self.seconds,
            "meta": meta,
        }


class Plan(NamedTuple):
    """A third of the requests may not be run twice, and one in ``1 / slow`` takes a while.

    A tenth is asked again, at the latest after ``again_within`` seconds.
    """

    seed: int
    again_within: float
    slow: float = 0.04

    def request(self, number: int) -> Request:
        """Return the request with this number."""
        draw = random.Random(self.seed << 40 | number).random
        method = ONCE if draw() < 1 / 3 else SAFE
        seconds = round(0.03 + 0.12 * draw(), 3) if draw() < self.slow else 0.0
        again = draw() * self.again_within if draw() < 0.1 else None
        return Request(number, method, seconds, again, draw() < 0.5)

    def id(self, number: int) -> str:
        """Return the request's ``meta.id``."""
        return f"{self.seed}-{number}"
