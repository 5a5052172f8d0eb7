"""The vSphere agent. Needs what the extra ``vsphere`` installs, pyVmomi among it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.vsphere.agent import VSphereAgent

__all__ = ["VSphereAgent"]


def __getattr__(name: str) -> Any:
    """Import the agent, and pyVmomi with it, when it is used: ``vpoller --help`` does not."""
    if name == "VSphereAgent":
        from workers.vsphere.agent import VSphereAgent

        return VSphereAgent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
