"""What of the broker is there twice: what each request goes through."""

from __future__ import annotations

from vpoller_like.compiled import Twins

TWINS = Twins(
    "vpoller_like.broker",
    {
        "Acks",
        "Counters",
        "Entrance",
        "FairQueue",
        "Flow",
        "Give",
        "Inbox",
        "Machine",
        "Memory",
        "Packs",
        "Pool",
        "Quota",
        "Reception",
        "Remembered",
        "Reply",
        "Request",
        "Route",
        "Task",
        "Timetable",
        "Turn",
        "Worker",
        "WorkerSays",
        "reply_messages",
    },
)
compiled = TWINS.compiled
