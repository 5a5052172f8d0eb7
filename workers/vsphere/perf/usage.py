"""How busy a virtual machine's processors are."""

from __future__ import annotations

from typing import Any

from workers.vsphere.inventory.collector import collect
from workers.vsphere.inventory.kinds import HOST, VM
from workers.vsphere.inventory.names import referred
from workers.vsphere.session.login import Login
from workers.vsphere.vcenter import VCenter

_USED = "summary.quickStats.overallCpuUsage"
_PROCESSORS = "config.hardware.numCPU"
_HOST = "runtime.host"
_HERTZ = "hardware.cpuInfo.hz"


def cpu_usage(vcenter: VCenter, name: str) -> dict[str, Any]:
    """Return a machine's processor time in percent of what its processors can have.

    ``None`` where the vCenter does not say. Takes two calls.
    """

    def work(login: Login) -> dict[str, Any]:
        row = vcenter.inventory.find(login, VM, name, ["name", _USED, _PROCESSORS, _HOST])
        megahertz = _megahertz(login, row.properties[_HOST])
        percent = _percent(row.properties[_USED], row.properties[_PROCESSORS], megahertz)
        return {"name": row.properties["name"], "vm.cpu.usage.percent": percent}

    return vcenter.run(work)


def _megahertz(login: Login, host: str | None) -> float | None:
    """Return the speed of one of the host's cores."""
    rows = collect(login, HOST.type, [_HERTZ], [referred(HOST, host)]) if host else []
    hertz = rows[0].properties[_HERTZ] if rows else None
    return hertz / 1e6 if hertz else None


def _percent(used: int | None, processors: int | None, megahertz: float | None) -> float | None:
    if used is None or not processors or not megahertz:
        return None
    return round(100 * used / (processors * megahertz), 2)
