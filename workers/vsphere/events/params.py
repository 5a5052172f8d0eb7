"""The parameters of the methods about events."""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated

import msgspec

from vpoller_like.errors import InvalidParams
from workers.vsphere.inventory.kinds import CLUSTER, DATACENTER, DATASTORE, HOST, VM, Kind
from workers.vsphere.params import VSphereParams
from workers.vsphere.vmomi import support, vim

#: What ``kind`` may be.
KINDS: dict[str, Kind] = {
    "vm": VM,
    "host": HOST,
    "datastore": DATASTORE,
    "cluster": CLUSTER,
    "datacenter": DATACENTER,
}

_NAMESPACE = "urn:vim25"


class EventList(VSphereParams, frozen=True):
    """``event.list``."""

    begin: Annotated[
        str | None,
        msgspec.Meta(description="Events from this time on, ISO 8601; else of the last hour"),
    ] = None
    end: Annotated[str | None, msgspec.Meta(description="Events until this time, ISO 8601")] = None
    types: Annotated[
        list[Annotated[str, msgspec.Meta(min_length=1)]],
        msgspec.Meta(description="Types of events, such as VmPoweredOffEvent; else all"),
    ] = []
    entity: Annotated[
        str | None,
        msgspec.Meta(description="What they are about: a reference, or a name (with kind)"),
    ] = None
    kind: Annotated[
        str, msgspec.Meta(description="What entity names: vm, host, datastore, cluster, datacenter")
    ] = "vm"
    max: Annotated[int, msgspec.Meta(ge=1, le=500, description="The most events to return")] = 100
    cursor: Annotated[
        str | None,
        msgspec.Meta(description="The cursor of the last answer: go on after its events"),
    ] = None


def moment(field: str, text: str) -> datetime:
    """Return the time of an ISO 8601 text, UTC where it does not say; raise ``InvalidParams``."""
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidParams(
            f"{field}: {text} is no time; give it as 2026-11-22T03:04:05Z", field=field
        ) from error


def kind_named(word: str) -> Kind:
    """Return the kind that ``kind`` says; raise ``InvalidParams``."""
    kind = KINDS.get(word)
    if kind is None:
        raise InvalidParams(f"kind: {word} is none of {', '.join(KINDS)}", field="kind")
    return kind


def type_ids(types: list[str]) -> tuple[str, ...]:
    """Return the ids of types of events; raise ``InvalidParams`` for one that does not exist.

    An id with a dot is an extension's (``esx.problem.net.connectivity.lost``), of which the
    API's schema does not know.
    """
    ids = [name.removeprefix("vim.event.") for name in types]
    for each in ids:
        if "." not in each and not _is_event(each):
            raise _unknown(each)
    return tuple(dict.fromkeys(ids))


def _is_event(name: str) -> bool:
    try:
        return issubclass(support.GetWsdlType(_NAMESPACE, name), vim.event.Event)
    except KeyError:
        return False


def _unknown(name: str) -> InvalidParams:
    known = [each for _, each in support._wsdlDefMap if each.endswith("Event")]
    similar = get_close_matches(name, known, 1)
    hint = f"did you mean {similar[0]}?" if similar else "leave it out"
    return InvalidParams(f"types: there is no event {name}; {hint}", field="types")
