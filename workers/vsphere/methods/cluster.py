"""Clusters of hosts."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.inventory.kinds import CLUSTER
from workers.vsphere.methods.base import DISCOVER_TIMEOUT, DISCOVERED, RETRIEVED, Methods
from workers.vsphere.params import Discover, Get
from workers.vsphere.vcenter import Rows


class ClusterMethods(Methods):
    """Clusters of hosts."""

    @task("cluster.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def cluster_discover(self, msg: Discover) -> Rows:
        """List all clusters."""
        return self._discover(CLUSTER, msg.properties)

    @task("cluster.get", retry_safe=True, msg=RETRIEVED)
    def cluster_get(self, msg: Get) -> Rows:
        """Return properties of a cluster, or of several."""
        return self._get(CLUSTER, msg)
