"""All of the machine at a glance."""

from __future__ import annotations

import msgspec

from workers.system.cpu import Cpu
from workers.system.disks import Disk
from workers.system.host import Host
from workers.system.io import Io
from workers.system.memory import Memory
from workers.system.networks import Network
from workers.system.processes import ProcessCount


class Status(msgspec.Struct, frozen=True):
    """The result of ``system.status``. Units are in the names; times are UTC."""

    host: Host
    cpu: Cpu
    memory: Memory
    disks: list[Disk]
    networks: list[Network]
    io: Io
    processes: ProcessCount
