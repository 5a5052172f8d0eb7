"""What this process talks ZeroMQ with."""

from __future__ import annotations

import zmq


def libzmq() -> tuple[int, int, int]:
    """Return the version of the libzmq that is in use."""
    major, minor, patch = zmq.zmq_version_info()
    return int(major), int(minor), int(patch)


def has_curve() -> bool:
    """Say whether it was built with CURVE."""
    return bool(zmq.has("curve"))
