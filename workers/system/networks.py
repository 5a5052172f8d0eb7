"""Network interfaces and their addresses."""

from __future__ import annotations

import socket
from typing import Any

import msgspec
import psutil

_FAMILIES = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}


class Address(msgspec.Struct, frozen=True):
    """An address of an interface."""

    #: ``ipv4`` or ``ipv6``.
    family: str
    address: str
    netmask: str | None


class Network(msgspec.Struct, frozen=True):
    """A network interface."""

    name: str
    #: Whether it is switched on.
    up: bool
    #: Its speed in Mbit/s; null where the system does not tell.
    speed_mbit: int | None
    #: The largest packet, in bytes.
    mtu_bytes: int
    #: The hardware's address; empty where it has none.
    mac: str
    addresses: list[Address]


def networks() -> list[Network]:
    """Return the interfaces, by name."""
    addresses = psutil.net_if_addrs()
    return [
        _network(name, stats, addresses.get(name, []))
        for name, stats in sorted(psutil.net_if_stats().items())
    ]


def _network(name: str, stats: Any, addresses: list[Any]) -> Network:
    macs = [found.address for found in addresses if found.family == psutil.AF_LINK]
    return Network(
        name=name,
        up=stats.isup,
        # Some drivers say -1 or 65535 for "unknown".
        speed_mbit=stats.speed if 0 < stats.speed < 65535 else None,
        mtu_bytes=stats.mtu,
        mac=macs[0] if macs else "",
        addresses=[_address(found) for found in addresses if found.family in _FAMILIES],
    )


def _address(found: Any) -> Address:
    return Address(_FAMILIES[found.family], found.address, found.netmask)
