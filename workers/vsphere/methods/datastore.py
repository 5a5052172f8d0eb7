"""Datastores."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.inventory.collector import Relation
from workers.vsphere.inventory.kinds import DATASTORE, HOST, VM
from workers.vsphere.methods.base import DISCOVER_TIMEOUT, DISCOVERED, RETRIEVED, Methods
from workers.vsphere.params import Discover, Get, Named
from workers.vsphere.vcenter import Rows


class DatastoreMethods(Methods):
    """Datastores."""

    @task("datastore.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def datastore_discover(self, msg: Discover) -> Rows:
        """List all datastores, each with the URL by which datastore.get knows it."""
        return self._discover(DATASTORE, ["info.url", *msg.properties])

    @task("datastore.get", retry_safe=True, msg=RETRIEVED)
    def datastore_get(self, msg: Get) -> Rows:
        """Return properties of a datastore, or of several; its URL (info.url) is a name too."""
        return self._get(DATASTORE, msg, "info.url")

    @task("datastore.host.get", retry_safe=True, msg=RETRIEVED)
    def datastore_host_get(self, msg: Named) -> Rows:
        """List the ESXi hosts that a datastore is mounted on."""
        told: Rows = [
            {"name": name, "host": [{"name": host} for host in hosts]}
            for name, hosts in self._led_to(DATASTORE, msg, "host", HOST)
        ]
        return told if msg.is_bulk else list(told[0]["host"])

    @task("datastore.vm.get", retry_safe=True, msg=RETRIEVED)
    def datastore_vm_get(self, msg: Named) -> Rows:
        """List the virtual machines that have files on a datastore."""
        return self._related(DATASTORE, msg, Relation("vm", VM.type), "vm")
