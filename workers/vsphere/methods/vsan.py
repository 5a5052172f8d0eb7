"""vSAN."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from vpoller_like.agent import task
from vpoller_like.errors import TaskFailed
from workers.vsphere.inventory.kinds import HOST
from workers.vsphere.methods.base import Methods
from workers.vsphere.params import Name, VSphereParams
from workers.vsphere.session.login import Login
from workers.vsphere.vcenter import Rows
from workers.vsphere.vmomi import vim

_SYSTEM = "configManager.vsanSystem"


class VsanHost(VSphereParams, frozen=True):
    """``vsan.health.get``."""

    name: Annotated[Name, msgspec.Meta(description="The ESXi host, as in host.get")]


class VsanMethods(Methods):
    """vSAN."""

    @task("vsan.health.get", retry_safe=True, msg="Successfully retrieved vSAN health")
    def vsan_health_get(self, msg: VsanHost) -> Rows:
        """Tell how an ESXi host finds itself as a node of its vSAN. Takes two calls."""

        def work(login: Login) -> dict[str, Any]:
            row = self.vcenter.inventory.find(login, HOST, msg.name, ["name", _SYSTEM])
            status = _system(login, row.properties).QueryHostStatus()
            return {
                "name": row.properties["name"],
                "uuid": status.uuid,
                "nodeUuid": status.nodeUuid,
                "health": status.health,
            }

        return [self.vcenter.run(work)]


def _system(login: Login, properties: dict[str, Any]) -> Any:
    reference = properties[_SYSTEM]
    if reference is None:
        raise TaskFailed(
            f"Host {properties['name']} has no vSAN: enable vSAN on its cluster, or leave it out",
            reason="no_vsan",
        )
    _, _, key = reference.partition(":")
    return vim.host.VsanSystem(key, login.content.rootFolder._stub)
