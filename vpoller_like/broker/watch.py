"""What the broker uses of its limits, and an alarm before it runs out of connections."""

from __future__ import annotations

import logging
from typing import Any

from vpoller_like.broker.doors import Doors
from vpoller_like.clock import monotonic
from vpoller_like.files import file_limit, open_files
from vpoller_like.heap import Resident, give_back
from vpoller_like.transport.outbox import Outbox

log = logging.getLogger("vpoller.broker")

#: Seconds between two counts of open files.
EVERY = 1.0
#: Shares of the allowed files at which the alarm begins, and ends.
ALARM = 0.8
CALM = 0.7
#: Freed memory is given back where this many bytes more are in memory than were at the least,
#: and so many seconds after the last time; it takes 50 ms where 400 MiB are in use, and at
#: most a thousandth of all time.
FREEABLE = 32 << 20
TRIM_EVERY = 5.0
RARER = 1000


class Watch:
    """Looks at the process from time to time.

    Beyond its file limit libzmq cannot accept a connection, and tries again at once, for as
    long as the peer waits: one I/O thread then keeps a core busy. Those who are connected are
    still served.
    """

    def __init__(self, doors: Doors) -> None:
        self._boxes: dict[str, Outbox] = {
            "frontend": doors.frontend_outbox,
            "backend": doors.backend_outbox,
            "admin": doors.admin_outbox,
        }
        self._next_look = 0.0
        self._next_trim = 0.0
        self._resident = Resident()
        self._least = self._resident.bytes()
        self._peaks: dict[str, int] = {}
        self.alarm = False

    def look(self, now: float) -> None:
        """Take in the present use; count files once a second."""
        self._note("unsent_bytes", self._fullest())
        if now < self._next_look:
            return
        self._next_look = now + EVERY
        self._judge_files(open_files(), file_limit())
        self._trim(now)

    def _trim(self, now: float) -> None:
        size = self._resident.bytes()
        self._note("resident", size)
        if size > self._least + FREEABLE and now >= self._next_trim:
            began = monotonic()
            give_back()
            self._next_trim = now + max(TRIM_EVERY, RARER * (monotonic() - began))
            size = self._resident.bytes()
        self._least = min(self._least, size)

    def usage(self) -> dict[str, Any]:
        """Return what is used of the limits outside the core, and the most that was."""
        files = open_files()
        self._judge_files(files, file_limit())
        self._note("unsent_bytes", self._fullest())
        size = self._resident.bytes()
        self._note("resident", size)
        return {
            # The limit is each door's, so the fullest one is what to compare with it.
            "unsent_bytes": {
                "now": self._fullest(),
                "peak": self._peaks["unsent_bytes"],
                **{door: box.bytes for door, box in self._boxes.items()},
            },
            "unsent_peers": {door: box.peers for door, box in self._boxes.items()},
            "unsent_dropped": {door: box.dropped for door, box in self._boxes.items()},
            "resident": {"now": size, "peak": self._peaks["resident"]},
            "max_files": {
                "now": files,
                "peak": self._peaks["max_files"],
                "allowed": file_limit(),
                "alarm": self.alarm,
            },
        }

    def close(self) -> None:
        """Look no more."""
        self._resident.close()

    def _fullest(self) -> int:
        return max(box.bytes for box in self._boxes.values())

    def _judge_files(self, files: int, allowed: int) -> None:
        self._note("max_files", files)
        if not self.alarm and files >= ALARM * allowed:
            self.alarm = True
            log.warning(
                "%d of %d files are open, one for each connection; beyond that nobody new can "
                "connect: raise LimitNOFILE (ulimit -n), and broker.max_files, or find out "
                "who connects so often",
                files,
                allowed,
            )
        elif self.alarm and files < CALM * allowed:
            self.alarm = False
            log.info("%d of %d files are open: enough are free again", files, allowed)

    def _note(self, name: str, value: int) -> None:
        self._peaks[name] = max(value, self._peaks.get(name, 0))
