"""Reading a vCenter's events, from the oldest to the newest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from workers.vsphere.encode import encode, reference
from workers.vsphere.events.cursor import Cursor, Seen
from workers.vsphere.inventory.names import managed_object
from workers.vsphere.session.login import Login
from workers.vsphere.vmomi import vim, vmodl

#: A vCenter's limit for one page.
_LARGEST_PAGE = 1000

#: What an event can be about, the narrowest first: in the API, and in the answer.
_ABOUT = {
    "vm": "vm",
    "host": "host",
    "ds": "datastore",
    "net": "network",
    "dvs": "dvs",
    "computeResource": "cluster",
    "datacenter": "datacenter",
}


def read_page(login: Login, cursor: Cursor, end: datetime | None, most: int) -> list[Any]:
    """Return the events after ``cursor``: those it has read, and ``most`` others at least,
    if there are so many. Sorted by time and key.

    Takes three calls, and one more for each thousand events of the cursor's.
    """
    manager = login.content.eventManager
    collector = manager.CreateCollectorForEvents(filter=_filter(cursor, end))
    try:
        found = _enough(collector, cursor, most)
    except vmodl.MethodFault:
        _destroy(collector)
        raise
    # Where the connection is lost, or is silent, the collector goes with the session.
    _destroy(collector)
    return sorted(found, key=lambda event: (event.createdTime, event.key))


def _enough(collector: Any, cursor: Cursor, most: int) -> list[Any]:
    found: list[Any] = []
    for page in _pages(collector, min(most + len(cursor.keys), _LARGEST_PAGE)):
        found += page
        if len(unread(found, cursor)) >= most:
            break
    return found


def _destroy(collector: Any) -> None:
    # A session may have few of them, and the vCenter keeps them until it ends.
    with contextlib.suppress(vmodl.MethodFault):
        collector.DestroyCollector()


def unread(events: list[Any], cursor: Cursor) -> list[Any]:
    """Return those that the cursor has not read."""
    keys = frozenset(cursor.keys)
    return [event for event in events if event.key not in keys]


def seen(event: Any) -> Seen:
    """Return what a cursor keeps of an event."""
    return Seen(event.createdTime, int(event.key))


def told(event: Any) -> dict[str, Any]:
    """Return an event as clients get it."""
    abouts = {
        ours: getattr(event, theirs)
        for theirs, ours in _ABOUT.items()
        if getattr(event, theirs) is not None
    }
    return {
        "key": int(event.key),
        "time": encode(event.createdTime),
        "type": getattr(event, "eventTypeId", None) or str(type(event)._wsdlName),
        "message": event.fullFormattedMessage,
        "user": event.userName or None,
        "entity": next((_reference(each) for each in abouts.values()), None),
        **{ours: each.name for ours, each in abouts.items()},
    }


def _pages(collector: Any, size: int) -> Iterator[list[Any]]:
    """Yield pages until one is not full; a new collector stands at its oldest event."""
    while True:
        page = list(collector.ReadNextEvents(maxCount=size))
        yield page
        if len(page) < size:
            return


def _filter(cursor: Cursor, end: datetime | None) -> Any:
    spans = vim.event.EventFilterSpec
    asked = spans(time=spans.ByTime(beginTime=cursor.start, endTime=end))
    if cursor.types:
        asked.eventTypeId = list(cursor.types)
    if cursor.entity:
        entity = managed_object(cursor.entity, vim.ManagedEntity)
        asked.entity = spans.ByEntity(entity=entity, recursion=spans.RecursionOption.all)
    return asked


def _reference(argument: Any) -> str | None:
    """Return the reference in an EventArgument, which has one besides a name."""
    for prop in argument._GetPropertyList():
        held = getattr(argument, prop.name, None)
        if hasattr(held, "_moId"):
            return reference(held)
    return None
