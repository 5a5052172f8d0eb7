"""What a vCenter can measure, and its clock: asked once in a session."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from workers.vsphere.inventory.collector import collect
from workers.vsphere.perf.counters import Counters
from workers.vsphere.perf.intervals import Intervals
from workers.vsphere.session.login import Login
from workers.vsphere.vmomi import vim


class Catalogue(msgspec.Struct, frozen=True):
    """The counters and intervals of one vCenter."""

    counters: Counters
    intervals: Intervals
    #: How far the vCenter's clock is ahead of this machine's.
    ahead: timedelta

    def now(self) -> datetime:
        """Return the time by the vCenter's clock."""
        return datetime.now(UTC) + self.ahead


#: Two threads that need one at once may both ask for it; the answers are the same.
_known: WeakKeyDictionary[Login, Catalogue] = WeakKeyDictionary()


def catalogue_of(login: Login) -> Catalogue:
    """Return the catalogue; takes two calls when a session's first task needs it."""
    known = _known.get(login)
    if known is None:
        known = _known[login] = _ask(login)
    return known


def _ask(login: Login) -> Catalogue:
    manager = login.content.perfManager
    paths = ["perfCounter", "historicalInterval"]
    properties: dict[str, Any] = collect(login, type(manager), paths, [manager])[0].properties
    return Catalogue(
        counters=Counters(properties["perfCounter"] or []),
        intervals=Intervals(properties["historicalInterval"] or []),
        ahead=_clock(login) - datetime.now(UTC),
    )


def _clock(login: Login) -> datetime:
    instance = vim.ServiceInstance("ServiceInstance", login.content.rootFolder._stub)
    moment: datetime = instance.CurrentTime()
    return moment
