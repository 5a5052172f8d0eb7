"""Helpers: plugins that make of a reply the text that some program wants.

A request names one with the parameter ``helper``. It is found by its entry point in group
``vpoller_like.helpers``, when it is first asked for, and runs in the worker after the task.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, Protocol

from vpoller_like.agent.faults import MAX_TEXT
from vpoller_like.agent.secrets import hide
from vpoller_like.errors import InvalidParams, TaskFailed
from vpoller_like.protocol.request import UNSET

log = logging.getLogger("vpoller.agent")

GROUP = "vpoller_like.helpers"
#: The parameter that names one.
PARAMETER = "helper"

#: Names longer than this are nobody's typing error.
_LONGEST = 128


class Helper(Protocol):
    """What an entry point of the group names: a function, or anything that can be called.

    ``params`` are the request's, as they were prepared for validation, without secret ones;
    ``envelope`` is the reply, of JSON's kinds: ``success``, ``msg``, and ``result`` or
    ``error``. A failure is shown only where the text is all that the client gets. The text
    is sent as UTF-8. What is raised is answered as ``task_failed``. Any number of threads may
    call at once.
    """

    def __call__(
        self, method: str, params: Mapping[str, Any], envelope: Mapping[str, Any], /
    ) -> str: ...


class Asked(NamedTuple):
    """What a helper is asked for. ``secrets`` are to be seen nowhere."""

    helper: str
    method: str
    params: Mapping[str, Any]
    secrets: list[str]


@cache
def available_helpers() -> dict[str, EntryPoint]:
    """Return the installed helpers by name, without importing any."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP))}


def find(named: Any) -> Helper | None:
    """Return the helper that a request names; ``None`` where it names none.

    Raises ``InvalidParams`` for what is unknown, ``TaskFailed`` where it cannot be loaded.
    """
    if named is None or named in UNSET:
        return None
    if not isinstance(named, str):
        raise InvalidParams(f"helper: expected a name, got {type(named).__name__}", field=PARAMETER)
    if named not in available_helpers():
        raise _unknown(named)
    return _load(named)


def text_of(helper: Helper, asked: Asked, envelope: Mapping[str, Any]) -> str:
    """Return what ``helper`` makes of the reply; whatever it raises becomes ``TaskFailed``."""
    try:
        text = helper(asked.method, asked.params, envelope)
        if not isinstance(text, str):
            raise TypeError(f"it returned {type(text).__name__}, not str")
        text.encode()
        return text
    except KeyboardInterrupt:
        raise
    # A helper that calls sys.exit must not end the thread either.
    except BaseException as error:
        raise _failure(asked, error) from error


def _failure(asked: Asked, error: BaseException) -> TaskFailed:
    trace = hide("".join(traceback.format_exception(error)), asked.secrets).rstrip()
    log.error("Helper %s failed for %s\n%s", asked.helper, asked.method, trace)
    kind = type(error).__name__
    why = hide(f"{kind}: {error}", asked.secrets)
    return TaskFailed(
        f"helper {asked.helper} failed for {asked.method}: {why[:MAX_TEXT]}",
        reason="helper",
        helper=asked.helper,
        exception=kind,
    )


def _unknown(named: str) -> InvalidParams:
    known = list(available_helpers())
    close = get_close_matches(named, known, 1) if len(named) <= _LONGEST else []
    hint = f"; did you mean {close[0]}?" if close else ""
    installed = ", ".join(known) or "none"
    return InvalidParams(
        f"helper: no helper {named[:_LONGEST]} is installed at the worker{hint} "
        f"(installed: {installed})",
        field=PARAMETER,
        known=known,
    )


@cache
def _load(name: str) -> Helper:
    entry = available_helpers()[name]
    values = sorted({each.value for each in entry_points(group=GROUP, name=name)})
    if len(values) > 1:
        raise TaskFailed(
            f"helper {name} is provided twice, as {' and '.join(values)}; uninstall one",
            reason="helper",
        )
    return _callable(entry, _imported(entry))


def _imported(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        raise TaskFailed(
            f"helper {entry.name} ({entry.value}) cannot be imported: "
            f"{type(error).__name__}: {error}",
            reason="helper",
        ) from error


def _callable(entry: EntryPoint, loaded: Any) -> Helper:
    if not callable(loaded):
        raise TaskFailed(
            f"helper {entry.name} ({entry.value}) cannot be called; name a function there",
            reason="helper",
        )
    helper: Callable[..., str] = loaded
    return helper
