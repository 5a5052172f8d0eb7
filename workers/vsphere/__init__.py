"""The vSphere agent. Needs pyVmomi, which the extra ``vsphere`` installs."""

from workers.vsphere.agent import VSphereAgent

__all__ = ["VSphereAgent"]
