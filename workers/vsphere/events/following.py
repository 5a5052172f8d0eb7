"""Following events: what a request asks for, made into a cursor, and its answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from vpoller_like.errors import InvalidParams
from workers.vsphere.encode import reference
from workers.vsphere.events.cursor import Cursor, read_cursor
from workers.vsphere.events.history import read_page, seen, told, unread
from workers.vsphere.events.params import EventList, kind_named, moment, type_ids
from workers.vsphere.inventory.kinds import Kind
from workers.vsphere.inventory.names import managed_object
from workers.vsphere.session.login import Login
from workers.vsphere.vcenter import VCenter
from workers.vsphere.vmomi import vim

#: What a request without a beginning goes back.
_LOOK_BACK = timedelta(hours=1)


def list_events(vcenter: VCenter, asked: EventList) -> dict[str, Any]:
    """Return ``events``, a ``cursor`` to go on from, and whether there are ``more`` by now."""
    end = moment("end", asked.end) if asked.end else None
    begun = _cursor(asked)

    def work(login: Login) -> dict[str, Any]:
        cursor = begun or _first(vcenter, login, asked)
        page = read_page(login, cursor, end, asked.max + 1)
        new = unread(page, cursor)
        given = new[: asked.max]
        after = cursor.after([seen(each) for each in page], [seen(each) for each in given])
        return {
            "events": [told(each) for each in given],
            "cursor": after.text(),
            "more": len(new) > len(given),
        }

    return vcenter.run(work)


def _cursor(asked: EventList) -> Cursor | None:
    if asked.cursor is None:
        return None
    for field in ("begin", "types", "entity"):
        if getattr(asked, field):
            raise InvalidParams(
                f"{field}: the cursor has it already; leave {field} out, or leave cursor out "
                "to begin anew",
                field=field,
            )
    return read_cursor(asked.cursor)


def _first(vcenter: VCenter, login: Login, asked: EventList) -> Cursor:
    start = moment("begin", asked.begin) if asked.begin else datetime.now(UTC) - _LOOK_BACK
    entity = _entity(vcenter, login, asked.entity, kind_named(asked.kind)) if asked.entity else ""
    return Cursor(start=start, types=type_ids(asked.types), entity=entity)


def _entity(vcenter: VCenter, login: Login, name: str, kind: Kind) -> str:
    """Return the reference of what the events shall be about.

    Takes no call where the name is known: whether it is still there shows when the events
    are asked for.
    """
    managed = managed_object(name, vim.ManagedEntity)
    if managed is None:
        managed = vcenter.inventory.known(login, kind, name)
    if managed is None:
        managed = vcenter.inventory.find(login, kind, name).managed
    return reference(managed)
