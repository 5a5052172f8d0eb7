"""What of the worker is there twice: what each task goes through."""

from __future__ import annotations

from vpoller_like.compiled import Twins

TWINS = Twins(
    "vpoller_like.worker",
    {
        "Alarm",
        "Baton",
        "Debt",
        "Debts",
        "Executor",
        "Finished",
        "Flow",
        "Grant",
        "Leader",
        "Memory",
        "Outbox",
        "Pack",
        "Pace",
        "Run",
        "Runs",
        "Standing",
        "Turn",
        "grant_to",
        "is_news",
    },
)
compiled = TWINS.compiled
