"""A request's body, written once but for its ``meta``, which each send renews."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from vpoller_like.errors import BadRequest, TooLarge
from vpoller_like.protocol.encoding import DECODE_FAULTS, kind_of

_write = msgspec.json.Encoder().encode

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


def first_ending(remaining: float) -> bytes:
    """Return what makes a body of a plain draft's start, if nothing was sent before.

    The broker's answer is in time for so many seconds still.
    """
    return b'0,"deadline_ms":%d}}' % max(0, round(remaining * 1000))


class Draft:
    """The caller's ``message``, ready to be sent any number of times.

    Its ``meta`` is kept. Without ``meta.id`` it gets a new one, and is new to every broker;
    an id that the caller gives without ``age_ms`` may have been used before, so its age
    stays unknown. Raises ``TypeError`` where the message is not a dict, ``BadRequest``
    where it cannot be written as JSON, ``TooLarge`` where it takes more than ``limit`` bytes.
    """

    __slots__ = ("_meta", "id", "is_old", "is_plain", "start")

    def __init__(
        self, message: dict[str, Any], new_id: Callable[[], str], limit: float = math.inf
    ) -> None:
        if not isinstance(message, dict):
            raise TypeError(f"a request is a dict, not {type(message).__name__}")
        #: What the caller says; None where that is nothing, as it mostly is.
        self._meta: dict[str, Any] | None = None
        #: Whether the caller has used the id before, and does not say at which broker.
        self.is_old = False
        if "meta" in message:
            self._meta = _meta_of(message)
            message = {key: value for key, value in message.items() if key != "meta"}
        #: Whether the caller says nothing.
        self.is_plain: bool = self._meta is None
        try:
            text: bytes = _write(message)
        except DECODE_FAULTS as error:
            raise _unwritable(error) from error
        key = b',"meta":' if message else b'"meta":'
        #: The request's ``meta.id``.
        self.id: Any
        #: The body up to what each send renews.
        self.start: bytes
        if self._meta is None:
            self.id = new_id()
            self.start = b'%b%b{"id":"%b","age_ms":' % (text[:-1], key, self.id.encode())
        else:
            self.id = _named(self._meta, new_id)
            self.is_old = bool(self._meta.get("age_ms")) and "moved" not in self._meta
            self.start = text[:-1] + key
        if len(self.start) + _NUMBERS > limit or self._meta is not None:
            self._require_at_most(limit)

    def body(self, moment: Moment) -> bytes:
        """Return the body to send at this moment."""
        if self._meta is None:
            age, remaining = math.ceil(moment.age * 1000), round(moment.remaining * 1000)
            moved = b',"moved":true' if moment.moved else b""
            return b'%b%d%b,"deadline_ms":%d}}' % (self.start, age, moved, remaining)
        meta = dict(self._meta)
        if _is_number(meta.get("age_ms")):
            meta["age_ms"] = _age(meta["age_ms"], moment)
        if moment.moved:
            meta["moved"] = True
        meta["deadline_ms"] = _deadline(meta.get("deadline_ms"), moment)
        try:
            return self.start + _write(meta) + b"}"
        except DECODE_FAULTS as error:
            raise _unwritable(error) from error

    def _require_at_most(self, limit: float) -> None:
        # But for a few digits.
        size = len(self.body(Moment()))
        if size > limit:
            raise TooLarge(
                f"the request is {size} bytes, more than the {limit} allowed; send less, or raise "
                "max_request here and at the broker",
                size=size,
                limit=limit,
            )


def _named(meta: dict[str, Any], new_id: Callable[[], str]) -> Any:
    """Return the id in ``meta``, to which a new one is added if there is none."""
    if meta.get("id") is None:
        meta["id"] = new_id()
        meta.setdefault("age_ms", 0)
    return meta["id"]


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


def _meta_of(message: dict[str, Any]) -> dict[str, Any] | None:
    meta = message["meta"]
    if meta is not None and not isinstance(meta, dict):
        raise BadRequest(f"meta: expected object, got {kind_of(meta)}")
    return dict(meta) if meta else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unwritable(error: Exception) -> BadRequest:
    return BadRequest(f"the request cannot be written as JSON: {error}")
