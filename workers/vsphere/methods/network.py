"""Networks: standard ones, and distributed port groups."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.inventory.collector import Relation
from workers.vsphere.inventory.kinds import HOST, NETWORK, VM
from workers.vsphere.methods.base import (
    DISCOVER_TIMEOUT,
    DISCOVERED,
    RETRIEVED,
    Methods,
    OneOrMore,
)
from workers.vsphere.params import Discover, Get, Named
from workers.vsphere.vcenter import Rows


class NetworkMethods(Methods):
    """Networks: standard ones, and distributed port groups."""

    @task("net.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def net_discover(self, msg: Discover) -> Rows:
        """List all networks, distributed port groups among them."""
        return self._discover(NETWORK, msg.properties)

    @task("net.get", retry_safe=True, msg=RETRIEVED)
    def net_get(self, msg: Get) -> Rows:
        """Return properties of a network, or of several."""
        return self._get(NETWORK, msg)

    @task("net.host.get", retry_safe=True, msg=RETRIEVED)
    def net_host_get(self, msg: Named) -> OneOrMore:
        """List the ESXi hosts that are on a network."""
        return self._nested(NETWORK, msg, Relation("host", HOST.type), "host")

    @task("net.vm.get", retry_safe=True, msg=RETRIEVED)
    def net_vm_get(self, msg: Named) -> OneOrMore:
        """List the virtual machines that are on a network."""
        return self._nested(NETWORK, msg, Relation("vm", VM.type), "vm")
