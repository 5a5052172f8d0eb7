"""Datacenters."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.inventory.kinds import DATACENTER
from workers.vsphere.methods.base import DISCOVER_TIMEOUT, DISCOVERED, RETRIEVED, Methods
from workers.vsphere.params import Discover, Get
from workers.vsphere.vcenter import Rows


class DatacenterMethods(Methods):
    """Datacenters."""

    @task("datacenter.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def datacenter_discover(self, msg: Discover) -> Rows:
        """List all datacenters."""
        return self._discover(DATACENTER, msg.properties)

    @task("datacenter.get", retry_safe=True, msg=RETRIEVED)
    def datacenter_get(self, msg: Get) -> Rows:
        """Return properties of a datacenter, or of several."""
        return self._get(DATACENTER, msg)
