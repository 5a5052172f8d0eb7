"""ESXi hosts."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.inventory.collector import Relation
from workers.vsphere.inventory.kinds import CLUSTER, DATASTORE, HOST, NETWORK, VM
from workers.vsphere.methods.base import (
    DISCOVER_TIMEOUT,
    DISCOVERED,
    RETRIEVED,
    Methods,
    OneOrMore,
)
from workers.vsphere.params import Discover, Get, Named
from workers.vsphere.vcenter import Rows


class HostMethods(Methods):
    """ESXi hosts."""

    @task("host.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def host_discover(self, msg: Discover) -> Rows:
        """List all ESXi hosts."""
        return self._discover(HOST, msg.properties)

    @task("host.get", retry_safe=True, msg=RETRIEVED)
    def host_get(self, msg: Get) -> Rows:
        """Return properties of an ESXi host, or of several."""
        return self._get(HOST, msg)

    @task("host.cluster.get", retry_safe=True, msg=RETRIEVED)
    def host_cluster_get(self, msg: Named) -> Rows:
        """Tell the cluster that an ESXi host is in; null for one that is in none."""
        rows = self._rows(HOST, msg, ["name"], Relation("parent", CLUSTER.type))
        return [
            {
                **row.properties,
                "cluster": next((each.properties["name"] for each in row.related), None),
            }
            for row in rows
        ]

    @task("host.vm.get", retry_safe=True, msg=RETRIEVED)
    def host_vm_get(self, msg: Named) -> Rows:
        """List the virtual machines that are on an ESXi host."""
        return self._related(HOST, msg, Relation("vm", VM.type), "vm")

    @task("host.net.get", retry_safe=True, msg=RETRIEVED)
    def host_net_get(self, msg: Named) -> OneOrMore:
        """List the networks of an ESXi host."""
        return self._nested(HOST, msg, Relation("network", NETWORK.type), "network")

    @task("host.datastore.get", retry_safe=True, msg=RETRIEVED)
    def host_datastore_get(self, msg: Named) -> Rows:
        """List the datastores of an ESXi host, each with its URL."""
        stores = Relation("datastore", DATASTORE.type, ("name", "info.url"))
        return self._related(HOST, msg, stores, "datastore")
