"""How far a client has read: what goes to it, and comes back, as an opaque text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Annotated

import msgspec

from vpoller_like.errors import InvalidParams
from workers.vsphere.inventory.names import managed_object
from workers.vsphere.vmomi import vim

#: Events that are registered this much late, by their own time, are not missed: a host's
#: events reach the vCenter after a while.
LATENESS = timedelta(seconds=30)

#: Keys that a cursor holds at most, but for those of a single moment; with the most events
#: of an answer, and one, they fill the largest page of a vCenter's.
MOST_KEYS = 499


class Seen(msgspec.Struct, frozen=True):
    """An event that the client has: when it was, and its key."""

    time: datetime
    key: int


_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """All events before ``start`` are read, and of the later ones those of the ``keys``.

    So events of one time, and events that come late, are neither missed nor repeated.
    """

    start: _Time
    keys: tuple[int, ...] = ()
    #: What the events are about, and of which types: as the first request said.
    entity: str = ""
    types: tuple[str, ...] = ()

    def after(self, page: Sequence[Seen], read: Sequence[Seen]) -> Cursor:
        """Return the cursor of a client that has ``read`` events, too.

        ``page`` are the events from ``start`` on that are known, whether read or not.
        """
        if not read:
            return self
        times = {each.key: each.time for each in (*page, *read)}
        newest = max(each.time for each in read)
        start = max(self.start, newest - LATENESS)
        keys = {*self.keys, *(each.key for each in read)}
        # What was beyond the page is not older than anything on it.
        held = [Seen(times.get(key, newest), key) for key in keys]
        if len(held) > MOST_KEYS:
            start = max(start, _start_of_last(held))
        left = tuple(sorted(each.key for each in held if each.time >= start))
        return msgspec.structs.replace(self, start=start, keys=left)

    def text(self) -> str:
        """Return the cursor for the client."""
        steps = tuple(b - a for a, b in pairwise((0, *self.keys)))
        packed = msgspec.msgpack.encode(msgspec.structs.replace(self, keys=steps))
        return base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")


def read_cursor(text: str) -> Cursor:
    """Return what :meth:`Cursor.text` wrote; raise ``InvalidParams`` for anything else."""
    try:
        whole = text.encode("ascii") + b"=" * (-len(text) % 4)
        packed = base64.b64decode(whole, altchars=b"-_", validate=True)
        cursor = msgspec.msgpack.decode(packed, type=Cursor)
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError) as error:
        raise _no_cursor() from error
    if cursor.entity and managed_object(cursor.entity, vim.ManagedEntity) is None:
        raise _no_cursor()
    return msgspec.structs.replace(cursor, keys=tuple(accumulate(cursor.keys)))


def _no_cursor() -> InvalidParams:
    return InvalidParams(
        "cursor: this is none that event.list gave; leave it out to begin anew", field="cursor"
    )


def _start_of_last(held: Sequence[Seen]) -> datetime:
    """Return the time from which on there are ``MOST_KEYS`` of more events at most.

    All events of a moment are kept, or none; those of the newest are kept in any case.
    """
    newest_first = sorted((each.time for each in held), reverse=True)
    left_out = newest_first[MOST_KEYS]
    fitting = (time for time in reversed(newest_first[:MOST_KEYS]) if time > left_out)
    return next(fitting, newest_first[0])
