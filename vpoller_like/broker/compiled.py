"""What of the broker is there twice: what each request goes through."""

from __future__ import annotations

from vpoller_like.compiled import Twins

TWINS = Twins(
    "vpoller_like.broker",
    {
        "Counters",
        "Entrance",
        "FairQueue",
        "Flow",
        "Give",
        "Memory",
        "Pool",
        "Quota",
        "Remembered",
        "Reply",
        "Request",
        "Route",
        "Task",
        "Timetable",
        "Worker",
        "handle_each",
        "reply_messages",
        "take_usual",
    },
)
compiled = TWINS.compiled
