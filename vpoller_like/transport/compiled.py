"""What of the transport is there twice: what each wait goes through, and each send.

What reads and writes them is an extension of its own, in plain C: see ``burst.py``.
"""

from __future__ import annotations

from vpoller_like.compiled import Twins

TWINS = Twins("vpoller_like.transport", {"Outlet", "Poll", "Port"})
compiled = TWINS.compiled
