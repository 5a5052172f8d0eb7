"""Reading properties: one batched request, however many objects there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from workers.vsphere.encode import encode
from workers.vsphere.login import Login
from workers.vsphere.paths import unknown_property
from workers.vsphere.vmomi import vim, vmodl

_pc = vmodl.query.PropertyCollector


class Row(msgspec.Struct, frozen=True):
    """One object: its reference and the properties that were asked for, encoded."""

    managed: Any
    #: Unset properties, and those that may not be read, are ``None``.
    properties: dict[str, Any]
    #: What may not be read: each path and the name of the fault that says why.
    denied: dict[str, str]


def collect_all(login: Login, kind: Any, paths: Sequence[str]) -> list[Row]:
    """Return the properties ``paths`` of all objects of ``kind`` in the inventory."""
    view = login.view(kind)
    contents = _pc.TraversalSpec(path="view", skip=False, type=type(view))
    start = _pc.ObjectSpec(obj=view, skip=True, selectSet=[contents])
    return _collect(login, kind, paths, [start])


def collect(login: Login, kind: Any, paths: Sequence[str], managed: Sequence[Any]) -> list[Row]:
    """Return the properties ``paths`` of the objects ``managed``, but for those that are gone."""
    return _collect(login, kind, paths, [_pc.ObjectSpec(obj=each, skip=False) for each in managed])


def _collect(login: Login, kind: Any, paths: Sequence[str], objects: list[Any]) -> list[Row]:
    wanted = _pc.PropertySpec(type=kind, pathSet=list(paths), all=False)
    # Objects may go while a request is under way: those that are left are the answer.
    request = _pc.FilterSpec(
        propSet=[wanted], objectSet=objects, reportMissingObjectsInResults=True
    )
    try:
        return [_row(content, paths) for content in _retrieve(login, request)]
    except vmodl.query.InvalidProperty as fault:
        raise unknown_property(kind, str(fault.name)) from fault


def _retrieve(login: Login, request: Any) -> Iterator[Any]:
    """Yield an object after the other, the pages of a long answer one after the other."""
    collector = login.content.propertyCollector
    result = collector.RetrievePropertiesEx(specSet=[request], options=_pc.RetrieveOptions())
    while result is not None:
        yield from result.objects
        if not result.token:
            return
        result = collector.ContinueRetrievePropertiesEx(token=result.token)


def _row(content: Any, paths: Sequence[str]) -> Row:
    held = {str(each.name): encode(each.val) for each in content.propSet}
    return Row(
        managed=content.obj,
        properties={path: held.get(path) for path in paths},
        denied=dict(_denials(content)),
    )


def _denials(content: Any) -> Iterator[tuple[str, str]]:
    for missing in content.missingSet:
        fault = missing.fault
        fault = getattr(fault, "fault", fault)
        # The simulator says here what a vCenter refuses the whole request for.
        if isinstance(fault, (vim.fault.NotAuthenticated, vmodl.query.InvalidProperty)):
            raise fault
        yield str(missing.path), str(type(fault)._wsdlName)
