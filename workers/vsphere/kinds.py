"""The kinds of objects that the agent knows, and what names one of them."""

from __future__ import annotations

from typing import Any

import msgspec

from workers.vsphere.vmomi import vim


class Kind(msgspec.Struct, frozen=True):
    """A type of managed objects."""

    type: Any
    #: The properties that name an object; a name is looked for in the first one first.
    keys: tuple[str, ...] = ("name",)

    @property
    def label(self) -> str:
        """The type's name, as in a reference: ``VirtualMachine``."""
        return str(self.type._wsdlName)


DATACENTER = Kind(vim.Datacenter)
CLUSTER = Kind(vim.ClusterComputeResource)
HOST = Kind(vim.HostSystem)
VM = Kind(vim.VirtualMachine)
#: A datastore's URL is its own; its name may be one in each datacenter.
DATASTORE = Kind(vim.Datastore, ("info.url", "name"))
