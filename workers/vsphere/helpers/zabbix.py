"""Texts for Zabbix: a value for an item, or a low-level discovery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.vsphere.helpers.shapes import Count, Disk, Rows, Sample, Shape, Value, Whole

_ROWS = Rows()
_VALUE = Value()
_SAMPLE = Sample("value")

#: What becomes of each method's result; of any other's, JSON.
SHAPES: dict[str, Shape] = {
    "about": Value("fullName"),
    "event.latest": Value("event"),
    "session.get": _ROWS,
    "perf.metric.info": _ROWS,
    "perf.interval.info": _ROWS,
    "net.discover": _ROWS,
    "net.get": _VALUE,
    "net.host.get": Rows("host"),
    "net.vm.get": Rows("vm"),
    "datacenter.discover": _ROWS,
    "datacenter.get": _VALUE,
    "datacenter.alarm.get": _ROWS,
    "datacenter.perf.metric.info": _ROWS,
    "datacenter.perf.metric.get": _SAMPLE,
    "cluster.discover": _ROWS,
    "cluster.get": _VALUE,
    "cluster.alarm.get": _ROWS,
    "cluster.perf.metric.info": _ROWS,
    "cluster.perf.metric.get": _SAMPLE,
    "resource.pool.discover": _ROWS,
    "resource.pool.get": _VALUE,
    "resource.pool.vm.get": _ROWS,
    "host.discover": _ROWS,
    "host.get": _VALUE,
    "host.alarm.get": _ROWS,
    "host.perf.metric.info": _ROWS,
    "host.perf.metric.get": _SAMPLE,
    "host.cluster.get": Value("cluster"),
    "host.vm.get": _ROWS,
    "host.net.get": Rows("network"),
    "host.datastore.get": _ROWS,
    "vm.discover": _ROWS,
    "vm.get": _VALUE,
    "vm.alarm.get": _ROWS,
    "vm.perf.metric.info": _ROWS,
    "vm.perf.metric.get": _SAMPLE,
    # vPoller's names for them: {#VSPHERE.VM.DISKPATH}, {#VSPHERE.VM.MACADDRESS}.
    "vm.disk.discover": Rows("disk", "vm"),
    "vm.disk.get": Disk(),
    "vm.guest.net.get": Rows("net", "vm"),
    "vm.net.get": Rows("network"),
    "vm.host.get": Value("host"),
    "vm.datastore.get": _ROWS,
    "vm.snapshot.get": _ROWS,
    "vm.process.get": Count(),
    "vm.cpu.usage.percent": Value("vm.cpu.usage.percent"),
    "datastore.discover": _ROWS,
    "datastore.get": _VALUE,
    "datastore.alarm.get": _ROWS,
    "datastore.host.get": _ROWS,
    "datastore.vm.get": _ROWS,
    "datastore.perf.metric.info": _ROWS,
    "datastore.perf.metric.get": _SAMPLE,
    "vsan.health.get": Value("health"),
}

_WHOLE = Whole()


def zabbix(method: str, params: Mapping[str, Any], envelope: Mapping[str, Any]) -> str:
    """Return what Zabbix wants of the reply to ``method``; of an error, what it says."""
    if envelope["success"]:
        return str(envelope["msg"])
    shape = SHAPES.get(method, _WHOLE)
    return shape.write(method, params, envelope.get("result"))


def czabbix(method: str, params: Mapping[str, Any], envelope: Mapping[str, Any]) -> str:
    """Return the same for vPoller's Zabbix module, which needs a NUL at the end."""
    return zabbix(method, params, envelope) + "\0"
