"""What an agent's answer has to be to become metrics, and the text that it becomes."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("prometheus_client")

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_plain

from vpoller_like.errors import TaskFailed
from vpoller_like.gateway.exposition import OPENMETRICS, PLAIN, Families, negotiated, write
from vpoller_like.gateway.families import read_families


def one(**changes: Any) -> dict[str, Any]:
    """Return a family as an agent answers it."""
    return {"name": "m", "help": "A metric.", "samples": [[[], 1]], **changes}


def text(kind: str, *families: dict[str, Any]) -> str:
    return write(Families(read_families(list(families))), kind).decode()


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("metrics", "array"),
        ([1], "object"),
        ([{"name": "m"}], "help"),
        ([one(name="no name")], "regex"),
        ([one(name="m\n")], "regex"),
        ([one(name="m" * 300)], "length"),
        ([one(name="vpoller_up")], "vpoller_"),
        ([one(labels=["1"], samples=[[["x"], 1]])], "regex"),
        ([one(labels=["__name__"], samples=[[["x"], 1]])], "regex"),
        ([one(labels=["a", "a"], samples=[[["x", "y"], 1]])], "a label is named twice"),
        ([one(labels=["a"])], "expected 1 label values, got 0"),
        ([one(samples=[[[1], 1]])], "str"),
        ([one(samples=[[[], "1"]])], "float"),
        ([one(samples=[[[], True]])], "float"),
        ([one(samples=[[[], 10**400]])], ""),
        ([one(samples=[[[], 1, 1e300]])], "1"),
        ([one(samples=[[[], 1], [[], 2]])], "two samples have the same labels"),
        ([one(), one()], "two families are named m"),
        ([one(type="histogram")], "histogram"),
        ([one(type="counter")], "_total"),
        ([one(type="info")], "_info"),
        ([one(name="m_total")], "_total"),
        ([one(unit="bytes")], "bytes"),
        ([one(unit="By\ntes")], "regex"),
    ],
)
def test_an_answer_that_is_not_made_of_metrics_is_refused(answer: Any, fault: str) -> None:
    with pytest.raises(TaskFailed) as refused:
        read_families(answer)
    assert refused.value.details["reason"] == "bad_answer"
    assert fault in refused.value.message


@pytest.mark.parametrize(("kind", "read"), [(PLAIN, read_plain), (OPENMETRICS, read_openmetrics)])
@given(
    values=st.lists(st.text(st.characters(codec="utf-8")), max_size=5, unique=True),
    told=st.text(st.characters(codec="utf-8")),
)
def test_any_text_is_read_as_it_was_written(
    kind: str, read: Any, values: list[str], told: str
) -> None:
    samples = [[[value], 1.5] for value in ["always", *(each for each in values if each)]]
    (family,) = read(text(kind, one(help=told, labels=["label"], samples=_unique(samples))))
    assert [each.labels["label"] for each in family.samples] == [
        each[0][0] for each in _unique(samples)
    ]
    # White space around it is not a part of it.
    assert family.documentation.strip() == told.strip()


def _unique(samples: list[Any]) -> list[Any]:
    return list({sample[0][0]: sample for sample in samples}.values())


def test_types_and_units_are_told_as_each_format_has_them() -> None:
    families = (
        one(name="m_bytes", unit="bytes"),
        one(name="turns_total", type="counter"),
        one(name="about_info", type="info"),
        one(name="what", type="unknown", samples=[[[], 1, 12.5]]),
        one(name="nothing", samples=[]),
    )
    assert text(PLAIN, *families).replace("A metric.", "") == (
        "# HELP m_bytes \n# TYPE m_bytes gauge\nm_bytes 1.0\n"
        "# HELP turns_total \n# TYPE turns_total counter\nturns_total 1.0\n"
        "# HELP about_info \n# TYPE about_info gauge\nabout_info 1.0\n"
        "# HELP what \n# TYPE what untyped\nwhat 1.0 12500\n"
    )
    assert text(OPENMETRICS, *families).replace("A metric.", "") == (
        "# HELP m_bytes \n# TYPE m_bytes gauge\n# UNIT m_bytes bytes\nm_bytes 1.0\n"
        "# HELP turns \n# TYPE turns counter\nturns_total 1.0\n"
        "# HELP about \n# TYPE about info\nabout_info 1.0\n"
        "# HELP what \n# TYPE what unknown\nwhat 1.0 12.5\n"
        "# EOF\n"
    )


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/html,*/*;q=0.8", PLAIN),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0, text/plain;q=0.5", OPENMETRICS),
        # What Prometheus sends.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
            "application/openmetrics-text;version=0.0.1;q=0.5,"
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,"
            "*/*;q=0.2",
            OPENMETRICS,
        ),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.2", PLAIN),
        ("application/openmetrics-text;q=0,*/*", PLAIN),
        ("application/openmetrics-text;q=much", PLAIN),
        (";;,,q=1", PLAIN),
    ],
)
def test_the_format_is_the_one_that_the_client_likes_better(accept: str, kind: str) -> None:
    assert negotiated(accept) == kind
