"""Reading properties: one batched request, however many objects there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from workers.vsphere.encode import encode, reference
from workers.vsphere.inventory.paths import unknown_property
from workers.vsphere.inventory.whereabouts import ancestry, inventory_path
from workers.vsphere.session.login import Login
from workers.vsphere.vmomi import vim, vmodl

_pc = vmodl.query.PropertyCollector


class Row(msgspec.Struct, frozen=True):
    """One object: its reference and the properties that were asked for, encoded."""

    managed: Any
    #: Unset properties, and those that may not be read, are ``None``.
    properties: dict[str, Any]
    #: What may not be read: each path and the name of the fault that says why.
    denied: dict[str, str]
    #: The objects that a relation leads to, where one was asked for.
    related: tuple[Row, ...] = ()
    #: The object's inventory path, where it was asked for.
    place: str | None = None


class Relation(msgspec.Struct, frozen=True):
    """Other objects to read along: those that a property of an object refers to."""

    #: The property with the reference, or references; of one step.
    path: str
    #: The type of the objects at the other end.
    type: Any
    #: What to read of them.
    paths: tuple[str, ...] = ("name",)


def collect_all(
    login: Login, kind: Any, paths: Sequence[str], relation: Relation | None = None
) -> list[Row]:
    """Return the properties ``paths`` of all objects of ``kind`` in the inventory."""
    view = login.view(kind)
    contents = _pc.TraversalSpec(
        path="view", skip=False, type=type(view), selectSet=_selections(kind, relation)
    )
    start = _pc.ObjectSpec(obj=view, skip=True, selectSet=[contents])
    return _collect(login, kind, paths, [start], relation)


def collect(
    login: Login,
    kind: Any,
    paths: Sequence[str],
    managed: Sequence[Any],
    relation: Relation | None = None,
    *,
    placed: bool = False,
) -> list[Row]:
    """Return the properties ``paths`` of the objects ``managed``, but for those that are gone.

    With a ``relation`` each row has the rows of the objects that it leads to, and if
    ``placed`` its inventory path; it is the same one call.
    """
    if not managed:
        return []
    along = _selections(kind, relation)
    objects = [_pc.ObjectSpec(obj=each, skip=False, selectSet=along) for each in managed]
    return _collect(login, kind, paths, objects, relation, managed if placed else ())


def retrieve(login: Login, wanted: list[Any], objects: list[Any], *others: Any) -> Iterator[Any]:
    """Return what a RetrievePropertiesEx answers, an object after the other.

    ``others`` are FilterSpecs of what to ask for besides.
    """
    # Objects may go while a request is under way: those that are left are the answer.
    request = _pc.FilterSpec(propSet=wanted, objectSet=objects, reportMissingObjectsInResults=True)
    return retrieve_all(login, [request, *others])


def retrieve_all(login: Login, specs: list[Any]) -> Iterator[Any]:
    """Yield what a RetrievePropertiesEx with these FilterSpecs answers, page after page."""
    collector = login.content.propertyCollector
    result = collector.RetrievePropertiesEx(specSet=specs, options=_pc.RetrieveOptions())
    while result is not None:
        yield from result.objects
        if not result.token:
            return
        result = collector.ContinueRetrievePropertiesEx(token=result.token)


def _collect(
    login: Login,
    kind: Any,
    paths: Sequence[str],
    objects: list[Any],
    relation: Relation | None,
    placed: Sequence[Any] = (),
) -> list[Row]:
    asked = [*paths, relation.path] if relation else list(paths)
    wanted = [_pc.PropertySpec(type=kind, pathSet=list(dict.fromkeys(asked)), all=False)]
    if relation:
        wanted.append(_pc.PropertySpec(type=relation.type, pathSet=list(relation.paths), all=False))
    try:
        if placed:
            found = _merged(retrieve(login, wanted, objects, ancestry(placed)))
            return _placed(_rows(list(found.values()), kind, paths, relation), placed, found)
        return _rows(list(retrieve(login, wanted, objects)), kind, paths, relation)
    except vmodl.query.InvalidProperty as fault:
        raise unknown_property(_owner(kind, str(fault.name), relation), str(fault.name)) from fault


def _owner(kind: Any, path: str, relation: Relation | None) -> Any:
    return relation.type if relation and path in relation.paths else kind


def _selections(kind: Any, relation: Relation | None) -> list[Any]:
    if relation is None:
        return []
    return [_pc.TraversalSpec(path=relation.path, skip=False, type=kind)]


def _rows(
    contents: list[Any], kind: Any, paths: Sequence[str], relation: Relation | None
) -> list[Row]:
    own = [content for content in contents if isinstance(content.obj, kind)]
    if relation is None:
        return [_row(content, paths) for content in own]
    others = {
        content.obj._moId: _row(content, relation.paths)
        for content in contents
        if isinstance(content.obj, relation.type)
    }
    return [_row(content, paths, _related(content, relation.path, others)) for content in own]


def _merged(contents: Iterator[Any]) -> dict[str, Any]:
    """Return what was found, by references; an object may be told once for each FilterSpec."""
    found: dict[str, Any] = {}
    for content in contents:
        first = found.setdefault(reference(content.obj), content)
        if first is not content:
            first.propSet.extend(content.propSet)
            first.missingSet.extend(content.missingSet)
    return found


def _placed(rows: list[Row], managed: Sequence[Any], found: dict[str, Any]) -> list[Row]:
    """Return the rows of the objects ``managed``, not of those above them, with their paths."""
    held = {at: {str(each.name): each.val for each in one.propSet} for at, one in found.items()}
    own = {reference(row.managed): row for row in rows}
    return [
        msgspec.structs.replace(own[at], place=inventory_path(at, held))
        for at in dict.fromkeys(map(reference, managed))
        if at in own
    ]


def _related(content: Any, path: str, others: dict[str, Row]) -> tuple[Row, ...]:
    """Return the rows of the objects to which a property refers, in its order."""
    held = next((each.val for each in content.propSet if each.name == path), None)
    referred = held if isinstance(held, list) else [held] if held is not None else []
    return tuple(others[each._moId] for each in referred if each._moId in others)


def _row(content: Any, paths: Sequence[str], related: tuple[Row, ...] = ()) -> Row:
    held = {str(each.name): each.val for each in content.propSet}
    return Row(
        managed=content.obj,
        properties={path: encode(held.get(path)) for path in paths},
        denied=dict(_denials(content)),
        related=related,
    )


def _denials(content: Any) -> Iterator[tuple[str, str]]:
    for missing in content.missingSet:
        fault = missing.fault
        fault = getattr(fault, "fault", fault)
        # The simulator says here what a vCenter refuses the whole request for.
        if isinstance(fault, (vim.fault.NotAuthenticated, vmodl.query.InvalidProperty)):
            raise fault
        yield str(missing.path), str(type(fault)._wsdlName)
