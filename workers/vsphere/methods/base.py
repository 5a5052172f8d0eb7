"""What all of the agent's methods share."""

from __future__ import annotations

from collections.abc import Sequence

from vpoller_like.agent import Agent
from workers.vsphere.kinds import Kind
from workers.vsphere.vcenter import Rows, VCenter

DISCOVERED = "Successfully discovered objects"
RETRIEVED = "Successfully retrieved object properties"

#: Seconds; listing a large inventory takes a vCenter a while.
DISCOVER_TIMEOUT = 120.0


class Methods(Agent):
    """Base of the agent's parts, each of which has the tasks of one subject."""

    vcenter: VCenter

    def _discover(self, kind: Kind, properties: Sequence[str]) -> Rows:
        return self.vcenter.discover(kind, ["name", *properties])

    def _get(self, kind: Kind, name: str, properties: Sequence[str]) -> Rows:
        return [self.vcenter.get(kind, name, ["name", *properties])]
