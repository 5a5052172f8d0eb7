"""Resource pools, and vApps, which are pools as well."""

from __future__ import annotations

from collections.abc import Iterable

from vpoller_like.agent import task
from workers.vsphere.inventory.collector import Relation, Row, collect_all
from workers.vsphere.inventory.inventory import unique
from workers.vsphere.inventory.kinds import POOL, VM
from workers.vsphere.methods.base import DISCOVER_TIMEOUT, DISCOVERED, RETRIEVED, Methods
from workers.vsphere.params import Discover, Get
from workers.vsphere.vcenter import Rows

_POOL_NAME = "resourcePool.name"


class ResourcePoolMethods(Methods):
    """Resource pools, and vApps, which are pools as well."""

    @task("resource.pool.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def resource_pool_discover(self, msg: Discover) -> Rows:
        """List all resource pools."""
        return self._discover(POOL, msg.properties)

    @task("resource.pool.get", retry_safe=True, msg=RETRIEVED)
    def resource_pool_get(self, msg: Get) -> Rows:
        """Return properties of a resource pool, or of several."""
        return self._get(POOL, msg)

    @task("resource.pool.vm.get", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=RETRIEVED)
    def resource_pool_vm_get(self, msg: Get) -> Rows:
        """List the virtual machines right in a resource pool, with properties; in all pools
        when none is named.
        """
        machines = Relation("vm", VM.type, tuple(unique(["name", *msg.properties])))
        if msg.name or msg.names:
            return _machines(self._rows(POOL, msg, ["name"], machines))
        return _machines(
            self.vcenter.run(lambda login: collect_all(login, POOL.type, ["name"], machines))
        )


def _machines(pools: Iterable[Row]) -> Rows:
    return [
        {**machine.properties, _POOL_NAME: pool.properties["name"]}
        for pool in pools
        for machine in pool.related
    ]
