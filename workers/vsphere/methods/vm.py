"""Virtual machines."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.kinds import VM
from workers.vsphere.methods.base import DISCOVER_TIMEOUT, DISCOVERED, RETRIEVED, Methods
from workers.vsphere.params import Discover, Get
from workers.vsphere.vcenter import Rows


class VirtualMachineMethods(Methods):
    """Virtual machines."""

    @task("vm.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def vm_discover(self, msg: Discover) -> Rows:
        """List all virtual machines."""
        return self._discover(VM, msg.properties)

    @task("vm.get", retry_safe=True, msg=RETRIEVED)
    def vm_get(self, msg: Get) -> Rows:
        """Return properties of one virtual machine."""
        return self._get(VM, msg.name, msg.properties)
