"""The agent's tasks."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self

import msgspec

from vpoller_like.agent import Agent, Params, task
from workers.system.cpu import CpuMeter
from workers.system.disks import Disk, disk_at, disks
from workers.system.host import host
from workers.system.io import io
from workers.system.memory import memory
from workers.system.networks import networks
from workers.system.processes import Process, ProcessMeter, Sort, process_count
from workers.system.settings import read_settings
from workers.system.status import Status

#: Seconds.
LONGEST_SLEEP = 3600


class ListProcesses(Params, frozen=True):
    """Parameters of ``system.process.list``."""

    name: Annotated[
        str, msgspec.Meta(description="only processes with this in their name, in any case")
    ] = ""
    sort: Annotated[Sort, msgspec.Meta(description="what is first: most used, or lowest id")] = (
        "pid"
    )
    limit: Annotated[int, msgspec.Meta(ge=1, description="at most so many; null is all")] | None = (
        None
    )


class GetDisk(Params, frozen=True):
    """Parameters of ``system.disk.get``."""

    path: Annotated[
        str, msgspec.Meta(description="a mount point, or any absolute path on the file system")
    ]


class Echo(Params, frozen=True):
    """Parameters of ``system.echo``."""

    data: Annotated[Any, msgspec.Meta(description="comes back as the result")] = None


class Sleep(Params, frozen=True):
    """Parameters of ``system.sleep``."""

    seconds: Annotated[
        float, msgspec.Meta(ge=0, le=LONGEST_SLEEP, description="how long, 0 to 3600")
    ]


class SystemAgent(Agent):
    """Facts about the machine that it runs on, under ``hostname``, the machine's name."""

    name: ClassVar[str] = "system"

    def __init__(self, hostname: str = "") -> None:
        self.hostname = hostname or platform.node()
        self.hostnames = [self.hostname]
        self._cpu = CpuMeter()
        self._processes = ProcessMeter()

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> Iterable[Self]:
        """Yield the one instance. The only setting is ``hostname``."""
        yield cls(read_settings(settings).hostname)

    @task("system.status", retry_safe=True, msg="Successfully retrieved the system's status")
    def system_status(self, _msg: dict[str, Any]) -> Status:
        """The machine at a glance: host, cpu, memory, disks, networks, io, processes.

        The result is a :class:`~workers.system.status.Status`, an object with a field for
        each of these; sizes are bytes, shares are percent, times are UTC.
        """
        return Status(
            host=host(self.hostname),
            cpu=self._cpu.read(),
            memory=memory(),
            disks=disks(),
            networks=networks(),
            io=io(),
            processes=process_count(),
        )

    @task("system.process.list", retry_safe=True, msg="Successfully listed the processes")
    def system_process_list(self, msg: ListProcesses) -> list[Process]:
        """The machine's processes, each with its use of processor and memory.

        The result is a list of :class:`~workers.system.processes.Process`.
        """
        return self._processes.read(msg.name, msg.sort, msg.limit)

    @task("system.disk.get", retry_safe=True, msg="Successfully retrieved the disk")
    def system_disk_get(self, msg: GetDisk) -> Disk:
        """The file system that a path is on, and how full it is.

        The result is a :class:`~workers.system.disks.Disk`. A path that does not exist is
        ``invalid_params``.
        """
        return disk_at(msg.path)

    @task("system.echo", retry_safe=True, msg="Successfully echoed the data")
    def system_echo(self, msg: Echo) -> Any:
        """Whatever is sent as data, sent back: to see that all is connected."""
        return msg.data

    # A run that is given up is not ended: the thread sleeps on. So the task itself must
    # end first.
    @task("system.sleep", timeout=LONGEST_SLEEP + 60, msg="Successfully slept")
    def system_sleep(self, msg: Sleep) -> dict[str, float]:
        """Do nothing for so many seconds: to see what a slow task does to others.

        The result is ``{"slept": seconds}``. It is not declared safe to run twice, so that
        it also shows what a lost worker means.
        """
        time.sleep(msg.seconds)
        return {"slept": msg.seconds}
