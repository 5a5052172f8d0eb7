"""Inventory paths: where an object is, from the root of the inventory down to its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workers.vsphere.encode import reference
from workers.vsphere.inventory.names import in_lower_case
from workers.vsphere.vmomi import vim, vmodl

_pc = vmodl.query.PropertyCollector

#: Deeper than any inventory is.
_DEEPEST = 100


def ancestry(managed: Sequence[Any]) -> Any:
    """Return what to ask a vCenter, so that the paths of these objects can be told."""
    return _pc.FilterSpec(
        propSet=_wanted(),
        objectSet=[_with_ancestors(each) for each in managed],
        reportMissingObjectsInResults=True,
    )


def inventory_path(at: str, held: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the inventory path of an object by its reference, and what :func:`ancestry` found.

    A path is as vSphere has it: ``/DC0/vm/folder/name``, names escaped, without the root folder.
    """
    names: list[str] = []
    while at in held and len(names) < _DEEPEST:
        parent = held[at].get("parent") or held[at].get("parentVApp")
        if parent is None:
            # The root folder; its name is in no path.
            break
        names.append(str(held[at].get("name", "")))
        at = reference(parent)
    return "/" + "/".join(reversed(names))


def normal(path: str) -> str:
    """Return ``path`` as :func:`inventory_path` would write it."""
    return "/" + in_lower_case(path).strip("/")


def last_name(path: str) -> str:
    """Return the name of the object at ``path``."""
    return normal(path).rpartition("/")[2]


def _wanted() -> list[Any]:
    # Both speak for a virtual machine.
    entity = _pc.PropertySpec(type=vim.ManagedEntity, pathSet=["name", "parent"], all=False)
    machine = _pc.PropertySpec(type=vim.VirtualMachine, pathSet=["parentVApp"], all=False)
    return [entity, machine]


def _with_ancestors(managed: Any) -> Any:
    upwards = [_pc.SelectionSpec(name=name) for name in ("parent", "vApp")]
    selections = [
        _pc.TraversalSpec(
            name="parent", path="parent", skip=False, type=vim.ManagedEntity, selectSet=upwards
        ),
        # A virtual machine within a vApp has no other parent.
        _pc.TraversalSpec(
            name="vApp", path="parentVApp", skip=False, type=vim.VirtualMachine, selectSet=upwards
        ),
    ]
    return _pc.ObjectSpec(obj=managed, skip=False, selectSet=selections)
