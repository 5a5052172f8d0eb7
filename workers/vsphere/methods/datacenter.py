"""Datacenters."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.kinds import DATACENTER
from workers.vsphere.methods.base import DISCOVER_TIMEOUT, DISCOVERED, Methods
from workers.vsphere.params import Discover
from workers.vsphere.vcenter import Rows


class DatacenterMethods(Methods):
    """Datacenters."""

    @task("datacenter.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def datacenter_discover(self, msg: Discover) -> Rows:
        """List all datacenters."""
        return self._discover(DATACENTER, msg.properties)
