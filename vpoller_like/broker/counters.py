"""What the broker counts, for ``status``."""

from __future__ import annotations

from vpoller_like.broker.compiled import compiled


@compiled
class Counters:
    """Totals since the broker's start."""

    __slots__ = (
        "bad_requests",
        "busy",
        "expired",
        "garbled",
        "internal_errors",
        "joined",
        "late_results",
        "lost_workers",
        "plain",
        "recalled",
        "redelivered",
        "refused_handshakes",
        "replies",
        "requests",
        "resyncs",
        "returned",
        "unauthorized",
        "undeliverable",
        "whohas_found",
        "whohas_missing",
        "worker_lost",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    #: Requests, well-formed or not, and replies to them.
    requests: int
    replies: int
    bad_requests: int
    #: Requests that joined a running task, and that got a remembered reply.
    joined: int
    recalled: int
    #: Answered busy, or deadline.
    busy: int
    expired: int
    #: Tasks given back by workers, given again after a loss, and lost for good.
    returned: int
    redelivered: int
    worker_lost: int
    lost_workers: int
    #: Results of an attempt that was superseded, or of an unknown task.
    late_results: int
    #: Requests whose id a worker knew, and did not know, when asked.
    whohas_found: int
    whohas_missing: int
    #: Handed to plain workers.
    plain: int
    #: Backend messages that were none, and peers told to introduce themselves.
    garbled: int
    resyncs: int
    #: Connections that were not let in; requests and messages of those who may not.
    refused_handshakes: int
    unauthorized: int
    #: Faults of the broker's own that it lived through; its log tells of each.
    internal_errors: int
    #: Replies whose client had gone, or had no room left for them. What waited for a client
    #: and was given up later is in ``usage.unsent_dropped``.
    undeliverable: int

    def as_dict(self) -> dict[str, int]:
        """Return all totals by name."""
        return {name: getattr(self, name) for name in self.__slots__}
