"""Mounted file systems and how full they are."""

from __future__ import annotations

import os
from typing import NamedTuple

import msgspec
import psutil

from vpoller_like.errors import InvalidParams
from workers.system.text import clean

#: Images that are full by their nature; they would only set off alarms.
_IMAGES = frozenset({"squashfs", "iso9660", "erofs"})


class Disk(msgspec.Struct, frozen=True):
    """One mounted file system."""

    #: Where it is mounted.
    path: str
    #: What is mounted there, such as ``/dev/sda1``.
    device: str
    #: Its kind, such as ``ext4``.
    fstype: str
    read_only: bool
    total_bytes: int
    used_bytes: int
    #: What a user without privileges can still take; the rest is kept for the superuser.
    free_bytes: int
    #: Used of what users can have, 0 to 100, as ``df`` counts it.
    percent: float


class Mount(NamedTuple):
    """A line of the table of mounts."""

    path: str
    device: str
    fstype: str
    read_only: bool


def disks() -> list[Disk]:
    """Return the file systems on this machine's disks, each once, and the root in any case.

    File systems in memory, of the kernel and of the network are left out, the last
    because asking after a server that is gone would hang; ask for one by its path. So
    is what cannot be looked at, or is gone again.
    """
    found = [_measured(mount) for mount in _once(_mounts(everything=False))]
    return sorted((disk for disk in found if disk is not None), key=lambda disk: disk.path)


def disk_at(path: str) -> Disk:
    """Return the file system that ``path``, any file or directory, is on.

    Raises ``InvalidParams`` where there is no such path or it cannot be looked at.
    """
    if not os.path.isabs(path):
        raise InvalidParams(f"path: must be absolute, such as /var, got {path!r}", field="path")
    try:
        mount = _holding(os.path.realpath(path, strict=True))
        return _measure(mount)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidParams(f"path: {path}: {reason}", field="path") from error


def _mounts(everything: bool) -> list[Mount]:
    found = [
        Mount(part.mountpoint, part.device, part.fstype, "ro" in part.opts.split(","))
        for part in psutil.disk_partitions(all=everything)
    ]
    if not everything and not any(mount.path == "/" for mount in found):
        # A container's root is an overlay, which counts as no disk.
        found += [mount for mount in _mounts(everything=True) if mount.path == "/"][-1:]
    return found


def _once(mounts: list[Mount]) -> list[Mount]:
    """Leave out images, files mounted on files, and all but the first mount of a device."""
    by_device: dict[str, Mount] = {}
    for mount in sorted(mounts, key=lambda mount: (len(mount.path), mount.path)):
        if mount.fstype not in _IMAGES and (mount.path == "/" or os.path.isdir(mount.path)):
            by_device.setdefault(mount.device, mount)
    return list(by_device.values())


def _holding(path: str) -> Mount:
    # The last one of several on the same point is the one that is seen.
    mounts = [mount for mount in _mounts(everything=True) if _is_under(path, mount.path)]
    if not mounts:
        raise ValueError("no mounted file system holds it")
    longest = max(len(mount.path) for mount in mounts)
    return [mount for mount in mounts if len(mount.path) == longest][-1]


def _is_under(path: str, mountpoint: str) -> bool:
    return path == mountpoint or path.startswith(f"{mountpoint.rstrip('/')}/")


def _measured(mount: Mount) -> Disk | None:
    try:
        return _measure(mount)
    except OSError:
        return None


def _measure(mount: Mount) -> Disk:
    usage = psutil.disk_usage(mount.path)
    return Disk(
        path=clean(mount.path),
        device=clean(mount.device),
        fstype=mount.fstype,
        read_only=mount.read_only,
        total_bytes=usage.total,
        used_bytes=usage.used,
        free_bytes=usage.free,
        percent=usage.percent,
    )
