"""Snapshots of virtual machines."""

from __future__ import annotations

from typing import Any

from vpoller_like.agent import task
from workers.vsphere.inventory.kinds import VM
from workers.vsphere.methods.base import RETRIEVED, Methods
from workers.vsphere.params import Named
from workers.vsphere.vcenter import Rows

_FIELDS = ("createTime", "description", "id", "name", "quiesced", "state")


class SnapshotMethods(Methods):
    """Snapshots of virtual machines."""

    @task("vm.snapshot.get", retry_safe=True, msg=RETRIEVED)
    def vm_snapshot_get(self, msg: Named) -> Rows:
        """List all snapshots of a virtual machine, each before those that were made from it."""
        told = [
            {"name": row.properties["name"], "snapshot": _flat(row.properties["snapshot"])}
            for row in self._rows(VM, msg, ["name", "snapshot"])
        ]
        return told if msg.is_bulk else told[0]["snapshot"]


def _flat(tree: dict[str, Any] | None) -> Rows:
    found: Rows = []
    left = list(reversed((tree or {}).get("rootSnapshotList", [])))
    while left:
        snapshot = left.pop()
        found.append({field: snapshot.get(field) for field in _FIELDS})
        left.extend(reversed(snapshot.get("childSnapshotList", [])))
    return found
