"""What of the agents' side is there twice: what each request goes through to be run."""

from __future__ import annotations

from vpoller_like.compiled import Twins

TWINS = Twins("vpoller_like.agent", {"Calling", "Desk", "Reader", "Writer"})
compiled = TWINS.compiled
