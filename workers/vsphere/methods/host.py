"""ESXi hosts."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.kinds import HOST
from workers.vsphere.methods.base import DISCOVER_TIMEOUT, DISCOVERED, RETRIEVED, Methods
from workers.vsphere.params import Discover, Get
from workers.vsphere.vcenter import Rows


class HostMethods(Methods):
    """ESXi hosts."""

    @task("host.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def host_discover(self, msg: Discover) -> Rows:
        """List all ESXi hosts."""
        return self._discover(HOST, msg.properties)

    @task("host.get", retry_safe=True, msg=RETRIEVED)
    def host_get(self, msg: Get) -> Rows:
        """Return properties of one ESXi host."""
        return self._get(HOST, msg.name, msg.properties)
