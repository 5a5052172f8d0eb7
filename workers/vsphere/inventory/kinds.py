"""The kinds of objects that the agent knows, and what names one of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from workers.vsphere.vmomi import vim


class Kind(msgspec.Struct, frozen=True):
    """A type of managed objects."""

    type: Any
    #: The properties that name an object; a name is looked for in the first one first.
    keys: tuple[str, ...] = ("name",)
    #: The properties that hold a UUID of it, likewise.
    uuids: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The type's name, as in a reference: ``VirtualMachine``."""
        return str(self.type._wsdlName)


DATACENTER = Kind(vim.Datacenter)
CLUSTER = Kind(vim.ClusterComputeResource)
HOST = Kind(vim.HostSystem, uuids=("summary.hardware.uuid",))
POOL = Kind(vim.ResourcePool)
#: The instance's UUID is unique within a vCenter, that of the BIOS need not be.
VM = Kind(vim.VirtualMachine, uuids=("summary.config.instanceUuid", "summary.config.uuid"))
#: A datastore's URL is its own; its name may be one in each datacenter.
DATASTORE = Kind(vim.Datastore, ("info.url", "name"))
#: Distributed port groups are networks as well.
NETWORK = Kind(vim.Network)

KINDS = (DATACENTER, CLUSTER, HOST, POOL, VM, DATASTORE, NETWORK)


def kind_of(managed: Any) -> Kind | None:
    """Return the kind of a managed object, if it is one of these."""
    managed_type: Any = type(managed)
    return _kind_of_type(managed_type)


@cache
def _kind_of_type(managed_type: Any) -> Kind | None:
    return next((kind for kind in KINDS if issubclass(managed_type, kind.type)), None)
