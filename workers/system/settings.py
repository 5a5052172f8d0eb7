"""The agent's section of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from vpoller_like.agent import settings

SECTION = "agents.system"


class SystemSettings(msgspec.Struct, frozen=True):
    """Section ``[agents.system]``."""

    #: What requests call this machine; empty is the name that it has.
    hostname: str = ""


def read_settings(section: Mapping[str, Any]) -> SystemSettings:
    """Return what ``section`` sets; raise ``ConfigError`` naming the setting."""
    return settings.read(SystemSettings, section, SECTION)
