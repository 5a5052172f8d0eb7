"""Events."""

from __future__ import annotations

from typing import Any

from vpoller_like.agent import task
from workers.vsphere.events.following import list_events
from workers.vsphere.events.params import EventList
from workers.vsphere.methods.base import Methods
from workers.vsphere.params import Nothing
from workers.vsphere.vcenter import Rows


class EventMethods(Methods):
    """Events."""

    @task("event.latest", retry_safe=True, msg="Successfully retrieved event")
    def event_latest(self, _: Nothing) -> Rows:
        """Return the text of the latest event."""
        manager = self.vcenter.run(lambda login: login.content.eventManager)
        latest = self.vcenter.read(manager, "latestEvent") or {}
        return [{"event": latest.get("fullFormattedMessage")}]

    @task("event.list", retry_safe=True, msg="Successfully retrieved events")
    def event_list(self, msg: EventList) -> dict[str, Any]:
        """List events, the oldest first, and where to go on: by time, types and entity."""
        return list_events(self.vcenter, msg)
