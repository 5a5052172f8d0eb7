"""Clusters of hosts."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.kinds import CLUSTER
from workers.vsphere.methods.base import DISCOVER_TIMEOUT, DISCOVERED, Methods
from workers.vsphere.params import Discover
from workers.vsphere.vcenter import Rows


class ClusterMethods(Methods):
    """Clusters of hosts."""

    @task("cluster.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def cluster_discover(self, msg: Discover) -> Rows:
        """List all clusters."""
        return self._discover(CLUSTER, msg.properties)
