"""A request's body, written once but for its ``meta``, which each send renews."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from vpoller_like.errors import BadRequest
from vpoller_like.protocol.encoding import DECODE_FAULTS, Encoding, encode, kind_of

#: More bytes than all that is written after a body's start, where the caller has no ``meta``.
_NUMBERS = 64


class Moment(NamedTuple):
    """What a body says of the time at which it is sent, in seconds."""

    #: Since the caller asked.
    elapsed: float = 0.0
    #: Since a broker may first have taken the request; 0 if none can have.
    age: float = 0.0
    #: Whether a broker that may have taken it is another one.
    moved: bool = False
    #: For which the caller still waits, over all further tries.
    remaining: float = 0.0


class Draft:
    """The caller's ``message``, ready to be sent any number of times.

    Its ``meta`` is kept. Without ``meta.id`` it gets a new one, and is new to every broker;
    an id that the caller gives without ``age_ms`` may have been used before, so its age
    stays unknown. Raises ``TypeError`` where the message is not a dict, ``BadRequest``
    where it cannot be written as JSON.
    """

    __slots__ = ("_meta", "_start", "id", "is_old")

    def __init__(self, message: dict[str, Any], new_id: Callable[[], str]) -> None:
        if not isinstance(message, dict):
            raise TypeError(f"a request is a dict, not {type(message).__name__}")
        #: What the caller says; None where that is nothing, as it mostly is.
        self._meta: dict[str, Any] | None = _meta_of(message) or None
        #: The request's ``meta.id``.
        self.id: Any = None if self._meta is None else self._meta.get("id")
        if self.id is None:
            self.id = new_id()
            if self._meta is not None:
                self._meta["id"] = self.id
                self._meta.setdefault("age_ms", 0)
        #: Whether the caller has used the id before, and does not say at which broker.
        self.is_old: bool = _is_old(self._meta)
        self._start = self._started(message)

    def _started(self, message: dict[str, Any]) -> bytes:
        """Return the body up to what each send renews."""
        rest = message
        if "meta" in message:
            rest = {key: value for key, value in message.items() if key != "meta"}
        text = _written(rest)[:-1] + (b',"meta":' if rest else b'"meta":')
        return text if self._meta else b'%b{"id":"%b","age_ms":' % (text, self.id.encode())

    def body(self, moment: Moment) -> bytes:
        """Return the body to send at this moment."""
        if self._meta is None:
            age, remaining = math.ceil(moment.age * 1000), round(moment.remaining * 1000)
            moved = b',"moved":true' if moment.moved else b""
            return b'%b%d%b,"deadline_ms":%d}}' % (self._start, age, moved, remaining)
        meta = dict(self._meta)
        if _is_number(meta.get("age_ms")):
            meta["age_ms"] = _age(meta["age_ms"], moment)
        if moment.moved:
            meta["moved"] = True
        meta["deadline_ms"] = _deadline(meta.get("deadline_ms"), moment)
        return self._start + _written(meta) + b"}"

    def fits(self, limit: int) -> bool:
        """Say whether the body has ``limit`` bytes at most, or nearly so."""
        if self._meta is None and len(self._start) + _NUMBERS <= limit:
            return True
        return self.size() <= limit

    def size(self) -> int:
        """Return how many bytes the body has, but for a few digits."""
        return len(self.body(Moment()))


def _is_old(meta: dict[str, Any] | None) -> bool:
    return meta is not None and bool(meta.get("age_ms")) and "moved" not in meta


def _age(given_ms: float, moment: Moment) -> float:
    """Return ``age_ms``: an age that is said too young could make a task run again."""
    if given_ms == 0:
        return math.ceil(moment.age * 1000)
    return given_ms + math.ceil(moment.elapsed * 1000)


def _deadline(given_ms: Any, moment: Moment) -> Any:
    """Return ``deadline_ms``: the caller's own or the end of all tries, which is sooner."""
    remaining_ms = round(moment.remaining * 1000)
    if given_ms is None:
        return remaining_ms
    if not _is_number(given_ms) or given_ms < 0:
        return given_ms  # The broker says what is wrong with it.
    return min(remaining_ms, max(0, given_ms - math.ceil(moment.elapsed * 1000)))


def _meta_of(message: dict[str, Any]) -> dict[str, Any]:
    meta = message.get("meta")
    if meta is None:
        return {}
    if not isinstance(meta, dict):
        raise BadRequest(f"meta: expected object, got {kind_of(meta)}")
    return dict(meta)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _written(value: Any) -> bytes:
    try:
        return encode(value, Encoding.JSON)
    except DECODE_FAULTS as error:
        raise BadRequest(f"the request cannot be written as JSON: {error}") from error
