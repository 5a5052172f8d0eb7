"""What went through disks and network interfaces since the machine's start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import psutil


class DiskIo(msgspec.Struct, frozen=True):
    """Counters of a disk or partition; they only grow, until the machine restarts."""

    #: The device's name, such as ``sda``.
    name: str
    reads: int
    writes: int
    read_bytes: int
    written_bytes: int
    #: Milliseconds that requests took, added up over all of them.
    read_ms: int
    write_ms: int


class NetworkIo(msgspec.Struct, frozen=True):
    """Counters of a network interface; they only grow, until the machine restarts."""

    name: str
    received_bytes: int
    sent_bytes: int
    received_packets: int
    sent_packets: int
    #: Packets that were broken.
    receive_errors: int
    send_errors: int
    #: Packets that there was no room for.
    receive_drops: int
    send_drops: int


class Io(msgspec.Struct, frozen=True):
    """Counters of disks and network interfaces, by name; empty where there are none."""

    disks: list[DiskIo]
    networks: list[NetworkIo]


def io() -> Io:
    """Return the counters as they are now."""
    disk_counters = _counters(lambda: psutil.disk_io_counters(perdisk=True))
    network_counters = _counters(lambda: psutil.net_io_counters(pernic=True))
    return Io(
        disks=[_disk(name, counters) for name, counters in sorted(disk_counters.items())],
        networks=[_network(name, found) for name, found in sorted(network_counters.items())],
    )


def _counters(read: Callable[[], Mapping[str, Any] | None]) -> Mapping[str, Any]:
    # Containers may see no counters, or a file that psutil cannot read.
    try:
        return read() or {}
    except (OSError, NotImplementedError, RuntimeError, ValueError):
        return {}


def _disk(name: str, counters: Any) -> DiskIo:
    return DiskIo(
        name=name,
        reads=counters.read_count,
        writes=counters.write_count,
        read_bytes=counters.read_bytes,
        written_bytes=counters.write_bytes,
        read_ms=counters.read_time,
        write_ms=counters.write_time,
    )


def _network(name: str, counters: Any) -> NetworkIo:
    return NetworkIo(
        name=name,
        received_bytes=counters.bytes_recv,
        sent_bytes=counters.bytes_sent,
        received_packets=counters.packets_recv,
        sent_packets=counters.packets_sent,
        receive_errors=counters.errin,
        send_errors=counters.errout,
        receive_drops=counters.dropin,
        send_drops=counters.dropout,
    )
