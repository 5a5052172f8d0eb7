"""Virtual machines, and what they run on."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.inventory.collector import Relation
from workers.vsphere.inventory.kinds import DATASTORE, HOST, NETWORK, VM
from workers.vsphere.methods.base import (
    DISCOVER_TIMEOUT,
    DISCOVERED,
    RETRIEVED,
    Methods,
    OneOrMore,
)
from workers.vsphere.params import Discover, Get, Named
from workers.vsphere.vcenter import Rows


class VirtualMachineMethods(Methods):
    """Virtual machines, and what they run on."""

    @task("vm.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def vm_discover(self, msg: Discover) -> Rows:
        """List all virtual machines."""
        return self._discover(VM, msg.properties)

    @task("vm.get", retry_safe=True, msg=RETRIEVED)
    def vm_get(self, msg: Get) -> Rows:
        """Return properties of a virtual machine, or of several."""
        return self._get(VM, msg)

    @task("vm.host.get", retry_safe=True, msg=RETRIEVED)
    def vm_host_get(self, msg: Named) -> Rows:
        """Tell the ESXi host that a virtual machine is on; null for one that is on none."""
        return [
            {"name": name, "host": next(iter(hosts), None)}
            for name, hosts in self._led_to(VM, msg, "runtime.host", HOST)
        ]

    @task("vm.net.get", retry_safe=True, msg=RETRIEVED)
    def vm_net_get(self, msg: Named) -> OneOrMore:
        """List the networks of a virtual machine."""
        return self._nested(VM, msg, Relation("network", NETWORK.type), "network")

    @task("vm.datastore.get", retry_safe=True, msg=RETRIEVED)
    def vm_datastore_get(self, msg: Named) -> Rows:
        """List the datastores with files of a virtual machine, each with its URL."""
        stores = Relation("datastore", DATASTORE.type, ("name", "info.url"))
        return self._related(VM, msg, stores, "datastore")
