"""Reading the PromQL in a Grafana dashboard, as far as checking its names takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

_METRIC = re.compile(r"\b(?P<name>(?:vsphere|vpoller)_\w+)(?:\{(?P<matchers>[^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")


class Query(msgspec.Struct, frozen=True):
    """One expression: the metrics in it with the labels that they are asked by, and others."""

    title: str
    text: str
    metrics: dict[str, set[str]]
    #: Labels in groupings, legends and columns: of any of the metrics.
    labels: set[str]


def queries(path: Path) -> Iterator[Query]:
    """Yield each expression of a dashboard's panels and variables."""
    dashboard = json.loads(path.read_text())
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = _LABEL_VALUES.fullmatch(variable["definition"])
            assert found, variable
            yield _query(variable["name"], found[1], {found[2]})
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            told = set(_LEGEND.findall(target["legendFormat"])) | _columns(panel)
            yield _query(panel["title"], target["expr"], told)


def _query(title: str, text: str, labels: set[str]) -> Query:
    metrics: dict[str, set[str]] = {}
    for found in _METRIC.finditer(text):
        asked = set(_MATCHER.findall(found["matchers"] or ""))
        metrics.setdefault(found["name"], set()).update(asked)
    for group in _GROUPING.findall(text):
        labels = labels | {each.strip() for each in group.split(",")}
    return Query(title, text, metrics, labels)


def _columns(panel: dict[str, Any]) -> set[str]:
    columns: set[str] = set()
    for each in panel.get("transformations", ()):
        columns |= set(each["options"]["indexByName"])
    return columns
