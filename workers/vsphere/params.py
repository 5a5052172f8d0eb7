"""The parameters of the agent's methods."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from vpoller_like.agent import Params, Secret
from vpoller_like.errors import InvalidParams
from workers.vsphere.habits import plain

Name = Annotated[str, msgspec.Meta(min_length=1)]
PropertyPath = Annotated[str, msgspec.Meta(min_length=1)]

Properties = Annotated[
    list[PropertyPath],
    msgspec.Meta(description="Properties to collect besides the name, such as runtime.powerState"),
]


class VSphereParams(Params, frozen=True):
    """Base of all of the agent's parameters, which takes what vPoller's clients send.

    ``""``, ``"(null)"`` and ``"null"`` are absent; a secret that is ``"null"`` is meant so.
    ``["a,b"]`` as ``properties`` is ``["a", "b"]``, ``counter-id`` is ``counter-name``, and a
    number may be written as text.
    """

    @classmethod
    def prepare(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Return ``given`` as validation expects it."""
        return plain(cls, given)


class About(VSphereParams, frozen=True):
    """``about``."""

    properties: Annotated[
        list[PropertyPath],
        msgspec.Meta(description="Properties to return besides fullName; all when left out"),
    ] = []


class Discover(VSphereParams, frozen=True):
    """Every ``.discover``."""

    properties: Properties = []


class Named(VSphereParams, frozen=True):
    """Methods about one object, or about several: what is named."""

    name: Annotated[
        str | None,
        msgspec.Meta(
            description="Its name, inventory path (/DC0/vm/web/vm01), UUID or reference "
            "(VirtualMachine:vm-42, or vm-42)"
        ),
    ] = None
    names: Annotated[
        list[Name],
        msgspec.Meta(
            description="Several of these in place of name, or patterns (web-*); "
            "there is a result for each object"
        ),
    ] = []

    @property
    def is_bulk(self) -> bool:
        """Whether the answer is a list with an entry for each object."""
        return bool(self.names)

    @property
    def wanted(self) -> list[str]:
        """All that is named; raise ``InvalidParams`` when nothing is."""
        given = [self.name, *self.names] if self.name else self.names
        if not given:
            raise InvalidParams("name: missing; give name, or names for several", field="name")
        return given


class Get(Named, frozen=True):
    """Every ``.get``."""

    properties: Properties = []


class GetDisk(Named, frozen=True):
    """``vm.disk.get``."""

    key: Annotated[
        str | None,
        msgspec.Meta(
            description="The disk's path in the guest, such as / or C:\\; all disks if left out"
        ),
    ] = None


class GetProcesses(VSphereParams, frozen=True):
    """``vm.process.get``."""

    name: Annotated[
        str, msgspec.Meta(min_length=1, description="The virtual machine, as in vm.get")
    ]
    username: Annotated[str, msgspec.Meta(min_length=1, description="Who logs in at the guest")]
    password: Annotated[Secret[str], msgspec.Meta(description="The password of that user")]
    properties: Annotated[
        list[PropertyPath],
        msgspec.Meta(description="What to tell besides name and cmdLine, such as pid, owner"),
    ] = []
    key: Annotated[
        str | None,
        msgspec.Meta(description="Only processes with this in their command line"),
    ] = None


class Nothing(VSphereParams, frozen=True):
    """Methods without parameters."""
