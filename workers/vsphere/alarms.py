"""The alarms that are triggered on objects, with their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workers.vsphere.encode import reference
from workers.vsphere.inventory.collector import Row, retrieve
from workers.vsphere.inventory.inventory import refuse_denied
from workers.vsphere.inventory.kinds import Kind
from workers.vsphere.inventory.names import managed_object
from workers.vsphere.params import Named
from workers.vsphere.session.login import Login
from workers.vsphere.vcenter import Rows, VCenter
from workers.vsphere.vmomi import vim, vmodl

_pc = vmodl.query.PropertyCollector

_STATES = "triggeredAlarmState"


def triggered(vcenter: VCenter, kind: Kind, asked: Named) -> Rows:
    """Return the alarms that are triggered on what a request names, and on what is in it.

    Takes two calls; one where there are none. Raises ``TaskFailed`` with the reason
    ``no_permission`` where those of any object may not be read: that is no sign of health.
    """

    def work(login: Login) -> Rows:
        rows = vcenter.named(login, kind, asked, ["name", _STATES])
        _refuse_locked(rows)
        states = [(row, state) for row in rows for state in row.properties[_STATES] or []]
        names = _names_of(login, (state[of] for _, state in states for of in ("alarm", "entity")))
        return [{**_who(row, asked), **_told(state, names)} for row, state in states]

    return vcenter.run(work)


def _refuse_locked(rows: Sequence[Row]) -> None:
    for row in rows:
        locked = {path: why for path, why in row.denied.items() if path == _STATES}
        refuse_denied(row.properties["name"] or reference(row.managed), locked)


def _who(row: Row, asked: Named) -> dict[str, Any]:
    """Say which object a row is of, where there may be several."""
    return {"name": row.properties["name"]} if asked.is_bulk else {}


def _told(state: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "key": state["key"],
        "info": names.get(state["alarm"], state["alarm"]),
        "time": state["time"],
        "entity": names.get(state["entity"], state["entity"]),
        "acknowledged": state.get("acknowledged", False),
        "overallStatus": state["overallStatus"],
        "acknowledgedByUser": state.get("acknowledgedByUser"),
    }


def _names_of(login: Login, references: Iterable[str]) -> dict[str, str]:
    """Return the names of inventory objects and alarms, by their references; takes one call.

    What is gone, or may not be read, is left out.
    """
    kinds = (vim.ManagedEntity, vim.alarm.Alarm)
    objects = [managed_object(text, kinds) for text in dict.fromkeys(references)]
    wanted = [
        _pc.PropertySpec(type=vim.ManagedEntity, pathSet=["name"]),
        _pc.PropertySpec(type=vim.alarm.Alarm, pathSet=["info.name"]),
    ]
    asked = [_pc.ObjectSpec(obj=each, skip=False) for each in objects if each is not None]
    return {
        reference(content.obj): str(each.val)
        for content in (retrieve(login, wanted, asked) if asked else ())
        for each in content.propSet
    }
