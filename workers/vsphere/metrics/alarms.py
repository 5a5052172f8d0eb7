"""Triggered alarms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from vpoller_like.errors import TaskFailed
from workers.vsphere.metrics.estate import KINDS, Estate
from workers.vsphere.metrics.families import PREFIX, Family
from workers.vsphere.metrics.reading import TYPES

#: Alarms that are told one by one; all of them are counted.
MOST = 1000

_STATUSES = ("red", "yellow")
_LABELS = ("alarm", "status", "kind", "entity", "moref", "acknowledged")
#: The kinds' words, by the API's types; other types keep theirs.
_KINDS = {str(TYPES[kind]._wsdlName): kind for kind in KINDS}


def alarms(estate: Estate, states: list[Any] | None, names: Mapping[str, str]) -> Iterator[Family]:
    """Yield the families of alarms, of wanted objects; ``names`` are the alarms' own, by their ids.

    Raises ``TaskFailed`` where they may not be read.
    """
    if states is None:
        raise TaskFailed(
            "the alarms may not be read; give the user the right to read the root folder",
            reason="no_permission",
        )
    told = [labels for labels in (_labels(estate, each, names) for each in states) if labels]
    yield from _counts(Counter(labels["status"] for labels, _ in told))
    yield from _each({tuple(labels.values()): (labels, at) for labels, at in told})


def _labels(
    estate: Estate, state: Any, names: Mapping[str, str]
) -> tuple[dict[str, str], float] | None:
    type_name, id_ = str(state.entity._wsdlName), str(state.entity._moId)
    kind = _KINDS.get(type_name, type_name)
    known = estate.all(kind).get(id_) if kind in KINDS else None
    entity = known.name if known else id_
    if not estate.admits(kind, entity):
        return None
    alarm = str(state.alarm._moId)
    labels = {
        "alarm": names.get(alarm, alarm),
        "status": str(state.overallStatus),
        "kind": kind,
        "entity": entity,
        "moref": id_,
        "acknowledged": "true" if state.acknowledged else "false",
    }
    return labels, state.time.timestamp()


def _counts(counts: Counter[str]) -> Iterator[Family]:
    family = Family(f"{PREFIX}alarms", "Triggered alarms, by status.", ("status",))
    for status in sorted({*_STATUSES, *counts}):
        family.add({"status": status}, counts[status])
    yield family
    omitted = Family(
        f"{PREFIX}alarms_omitted", f"Triggered alarms beyond the {MOST} that are told one by one."
    )
    omitted.add({}, max(0, counts.total() - MOST))
    yield omitted


def _each(told: Mapping[Any, tuple[dict[str, str], float]]) -> Iterator[Family]:
    triggered = Family(f"{PREFIX}alarm_triggered", "An alarm that is triggered; always 1.", _LABELS)
    since = Family(
        f"{PREFIX}alarm_triggered_timestamp_seconds",
        "When the alarm was triggered, in seconds since 1970.",
        _LABELS,
        "seconds",
    )
    for labels, moment in list(told.values())[:MOST]:
        triggered.add(labels, 1)
        since.add(labels, moment)
    yield from (triggered, since)
