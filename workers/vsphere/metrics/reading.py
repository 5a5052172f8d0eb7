"""Reading an estate: one request, however many objects there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from workers.vsphere.inventory.collector import retrieve_all
from workers.vsphere.metrics.estate import Thing
from workers.vsphere.session.login import Login
from workers.vsphere.vmomi import vim, vmodl

_pc = vmodl.query.PropertyCollector

#: The types that are read, by the kinds' words. A cluster is a compute resource, too.
TYPES = {
    "vm": vim.VirtualMachine,
    "host": vim.HostSystem,
    "cluster": vim.ClusterComputeResource,
    "compute": vim.ComputeResource,
    "datastore": vim.Datastore,
    "datacenter": vim.Datacenter,
    "folder": vim.Folder,
}

Paths = Mapping[str, Sequence[str]]


class Read(msgspec.Struct, frozen=True):
    """What a vCenter said: objects by kind and id, and the alarms that are triggered."""

    things: dict[str, dict[str, Thing]]
    #: ``None`` where they may not be read, or were not asked for.
    alarms: list[Any] | None


def read(login: Login, paths: Paths, with_alarms: bool) -> Read:
    """Return of each kind of object the properties ``paths``; one call, and one for each page."""
    root = login.content.rootFolder
    specs = [_of_view(login, TYPES[kind], wanted) for kind, wanted in paths.items()]
    if with_alarms:
        # The root has those of everything below it.
        specs.append(_of_object(root, vim.Folder, ["triggeredAlarmState"]))
    things: dict[str, dict[str, Thing]] = defaultdict(dict)
    alarms = None
    for content in retrieve_all(login, specs):
        held = {str(each.name): each.val for each in content.propSet}
        _require_session(content)
        states = held.pop("triggeredAlarmState", None)
        if states is not None and content.obj._moId == root._moId:
            alarms = list(states)
        if kind := _kind_of(content.obj):
            # Clusters come twice, as such and as compute resources.
            known = things[kind].get(content.obj._moId)
            properties = {**known.properties, **held} if known else held
            things[kind][str(content.obj._moId)] = Thing(str(content.obj._moId), properties)
    return Read(dict(things), alarms)


def names_of(login: Login, kind: Any, managed: Sequence[Any], path: str) -> dict[str, str]:
    """Return the property ``path`` of each of these objects, by their ids; one call."""
    specs = [_spec(kind, [path], [_pc.ObjectSpec(obj=each, skip=False) for each in managed])]
    return {
        str(content.obj._moId): str(each.val)
        for content in retrieve_all(login, specs)
        for each in content.propSet
    }


def _of_view(login: Login, kind: Any, paths: Sequence[str]) -> Any:
    view = login.view(kind)
    contents = _pc.TraversalSpec(path="view", skip=False, type=type(view))
    return _spec(kind, paths, [_pc.ObjectSpec(obj=view, skip=True, selectSet=[contents])])


def _of_object(managed: Any, kind: Any, paths: Sequence[str]) -> Any:
    return _spec(kind, paths, [_pc.ObjectSpec(obj=managed, skip=False)])


def _spec(kind: Any, paths: Sequence[str], objects: list[Any]) -> Any:
    wanted = _pc.PropertySpec(type=kind, pathSet=list(paths), all=False)
    return _pc.FilterSpec(propSet=[wanted], objectSet=objects, reportMissingObjectsInResults=True)


def _kind_of(managed: Any) -> str | None:
    # The narrower types come first.
    return next((kind for kind, known in TYPES.items() if isinstance(managed, known)), None)


def _require_session(content: Any) -> None:
    for missing in content.missingSet:
        fault = getattr(missing.fault, "fault", missing.fault)
        if isinstance(fault, vim.fault.NotAuthenticated):
            raise fault
