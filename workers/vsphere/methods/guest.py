"""Guests: what VMware Tools tell from within virtual machines."""

from __future__ import annotations

from typing import Any

from vpoller_like.agent import task
from vpoller_like.errors import TaskFailed
from workers.vsphere.inventory.kinds import VM
from workers.vsphere.methods.base import RETRIEVED, Methods, OneOrMore
from workers.vsphere.params import GetDisk, Named
from workers.vsphere.vcenter import Rows


class GuestMethods(Methods):
    """Guests: what VMware Tools tell from within virtual machines."""

    @task("vm.disk.discover", retry_safe=True, msg=RETRIEVED)
    def vm_disk_discover(self, msg: Named) -> Rows:
        """List the disks of a guest: path, capacity and free space in bytes."""
        return self._guest(msg, "guest.disk", "disk")

    @task("vm.disk.get", retry_safe=True, msg=RETRIEVED)
    def vm_disk_get(self, msg: GetDisk) -> Rows:
        """Tell one disk of a guest; all of them without a key."""
        told = self._guest(msg, "guest.disk", "disk")
        if msg.key is None:
            return told
        return [{**each, "disk": _disk(each, msg.key, msg.is_bulk)} for each in told]

    @task("vm.guest.net.get", retry_safe=True, msg=RETRIEVED)
    def vm_guest_net_get(self, msg: Named) -> OneOrMore:
        """List the network adapters of a guest, with their addresses."""
        told = self._guest(msg, "guest.net", "net")
        return told if msg.is_bulk else told[0]

    def _guest(self, msg: Named, path: str, key: str) -> Rows:
        """Return the name and, under ``key``, the list that a guest tells at ``path``."""
        return [
            {"name": row.properties["name"], key: row.properties[path] or []}
            for row in self._rows(VM, msg, ["name", path])
        ]


def _disk(told: dict[str, Any], path: str, is_bulk: bool) -> dict[str, Any] | None:
    """Return the disk at ``path``; of several machines each that has none tells ``None``."""
    disks: Rows = told["disk"]
    found = next((disk for disk in disks if disk.get("diskPath") == path), None)
    if found is None and not is_bulk:
        raise TaskFailed(
            f"{told['name']} has no disk {path}; {_those(disks)}", reason="not_found", key=path
        )
    return found


def _those(disks: Rows) -> str:
    if not disks:
        return "its VMware Tools tell of none"
    return "its disks are " + ", ".join(str(disk.get("diskPath")) for disk in disks)
