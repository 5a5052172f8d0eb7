"""How long a run may take, and what is answered when it takes longer."""

from __future__ import annotations

from collections.abc import Sequence

from vpoller_like.errors import TaskFailed
from vpoller_like.protocol.reply import failure
from vpoller_like.protocol.worker import Offer
from vpoller_like.worker.run import Finished, Run

#: For a task that is not on offer; its run will only say so.
UNKNOWN_SECONDS = 60.0


class Timeouts:
    """Knows the offers' timeouts. A method may have another one for another host."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        self._seconds: dict[tuple[str, str | None], float] = {}
        for offer in offers:
            for method in offer.methods:
                for host in (None, *(offer.hosts or ())):
                    self._seconds.setdefault((method.name, host), method.timeout_ms / 1000)

    def of(self, run: Run) -> float:
        """Return for how many seconds ``run`` may run."""
        method, hostname = run.item.method, run.item.hostname
        anywhere = self._seconds.get((method, None), UNKNOWN_SECONDS)
        return self._seconds.get((method, hostname), anywhere)


def timed_out(run: Run, seconds: float) -> Finished:
    """Return the answer for a run that did not finish within ``seconds``."""
    milliseconds = round(seconds * 1000)
    error = TaskFailed(
        f"{run.item.method} did not finish within {seconds:g} s and was given up",
        reason="timeout",
        timeout_ms=milliseconds,
    )
    return Finished(run.key, error.code, milliseconds * 1000, failure(error, run.encoding))
