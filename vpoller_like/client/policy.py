"""How a request is tried until it is answered or given up, without sockets or clock.

One :class:`Exchange` is the life of one request. Its driver asks :meth:`Exchange.next_action`
what to do, does it, and reports what came of it::

    next_action -> Try    connect, ask for the body, send it, wait for the reply
                            -> on_sent, then on_reply, on_silence or on_loss
                            -> on_unconnected or on_refused, where nothing could be sent
                -> Wait   do nothing until then
                -> Done   hand this envelope to the caller

What is promised to the caller:

- The whole takes at most ``timeout x retries``. Within it the request is sent until
  ``retries`` sends have remained without an answer. A try takes at most ``timeout``,
  waiting for the connection included; a try that found no broker is no send.
- ``busy`` and ``shutting_down`` are answers, of a broker that did not take the request. It
  is sent again after a growing delay, however often, while the time lasts.
- An endpoint whose broker does not let this client in is not tried again; when none is
  left, that is the outcome.
- After a failed try, and after ``shutting_down``, the next endpoint has its turn. With
  several endpoints the wait for a connection starts short and doubles with each round, so
  that one that is down does not eat the time of the others.
- The outcome of the last send is what the caller gets; a try that found no broker adds
  nothing to what was known before.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from vpoller_like.backoff import exponential
from vpoller_like.client import outcome
from vpoller_like.client.draft import Draft, Moment, first_ending
from vpoller_like.client.outcome import Envelope
from vpoller_like.errors import ConfigError, ProtocolError, RequestError
from vpoller_like.protocol.encoding import Encoding, decode_object, encode
from vpoller_like.protocol.limits import MAX_REQUEST
from vpoller_like.protocol.reply import SUCCESS, failure_fields, require_reply

#: Seconds that an endpoint gets to connect in the first round, where there are others; a
#: quarter of the time-out, if that is less.
FIRST_PATIENCE = 0.25
#: Seconds: the first delay after a refusal or a broken connection, and the longest.
BACKOFF_BASE = 0.05
BACKOFF_LIMIT = 1.0

#: Seconds that an answer at the deadline has to come back; a tenth of the time-out, if that
#: is less.
WAY_BACK = 0.25

#: Less time than this, in seconds, is not worth a try.
_MOMENT = 0.001

_NONE: frozenset[int] = frozenset()


class Policy(msgspec.Struct, frozen=True):
    """A client's settings. ``timeout`` is seconds per try, ``max_request`` bytes."""

    endpoints: tuple[str, ...]
    timeout: float = 3.0
    retries: int = 3
    max_request: int = MAX_REQUEST
    #: Follow from the others: what ends the body of a first send (:func:`~.draft.first_ending`),
    #: empty if no try is worth it; and the seconds that a first try waits for a connection.
    first_ending: bytes = b""
    first_patience: float = 0.0

    def __post_init__(self) -> None:
        if self.budget > _MOMENT:
            ending = first_ending(self.budget - self.way_back)
            msgspec.structs.force_setattr(self, "first_ending", ending)
        is_alone = len(self.endpoints) == 1
        first = self.timeout if is_alone else min(FIRST_PATIENCE, self.timeout / 4)
        msgspec.structs.force_setattr(self, "first_patience", first)

    def ending(self, elapsed: float) -> bytes:
        """Return what ends the body of a first send, so many seconds after the request began."""
        if elapsed < _MOMENT:
            return self.first_ending
        return first_ending(self.budget - self.way_back - elapsed)

    @property
    def budget(self) -> float:
        """Seconds that a request may take in all."""
        return self.timeout * self.retries

    @property
    def way_back(self) -> float:
        """Seconds that an answer at the deadline has to come back."""
        return min(WAY_BACK, self.timeout / 10)


def policy(endpoint: str | Sequence[str], timeout: float, retries: int, max_request: int) -> Policy:
    """Return the settings for these arguments of a client; ``timeout`` is milliseconds.

    Raises ``ConfigError`` naming the argument that is wrong.
    """
    endpoints = (endpoint,) if isinstance(endpoint, str) else tuple(endpoint)
    if not endpoints:
        raise ConfigError("endpoint: the list is empty; name at least one broker's frontend")
    _require_number("timeout", timeout, "milliseconds", whole=False)
    _require_number("retries", retries, "tries", whole=True)
    _require_number("max_request", max_request, "bytes", whole=True)
    return Policy(endpoints, timeout / 1000, retries, max_request)


def _require_number(name: str, value: object, unit: str, *, whole: bool) -> None:
    kinds = (int,) if whole else (int, float)
    usable = isinstance(value, kinds) and not isinstance(value, bool)
    if not usable or not 0 < value < math.inf:  # type: ignore[operator]
        kind = "a whole number" if whole else "a number"
        raise ConfigError(f"{name}: expected {kind} of {unit} above 0, got {value!r}")


class Try(msgspec.Struct, frozen=True, gc=False):
    """Send the request to ``endpoint`` (an index).

    Give up connecting at ``connect_until``, and waiting for the reply at ``until``.
    """

    endpoint: int
    connect_until: float
    until: float


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Ask again at ``until``."""

    until: float


class Done(msgspec.Struct, frozen=True):
    """The request's end."""

    envelope: Envelope


Action = Try | Wait | Done


def new_id() -> str:
    """Return an id that no other request has."""
    return os.urandom(16).hex()


class Exchange:
    """One request, from its first try to its envelope. Times are monotonic seconds.

    ``message`` is the request as the caller wrote it, or its draft; ``first`` the endpoint to
    begin with. Raises ``TypeError`` where ``message`` is neither.
    """

    __slots__ = (
        "_answer_by",
        "_counts",
        "_doubt_since",
        "_doubtful",
        "_draft",
        "_endpoint",
        "_give_up",
        "_jitter",
        "_policy",
        "_refusal",
        "_resume",
        "_sent_at",
        "_shut",
        "_started",
        "envelope",
    )

    def __init__(
        self,
        policy: Policy,
        message: dict[str, Any] | Draft,
        now: float,
        *,
        first: int = 0,
        jitter: Callable[[], float] = random.random,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        self._policy = policy
        self._jitter = jitter
        self._endpoint = first % len(policy.endpoints)
        self._started = now
        self._give_up = now + policy.budget
        #: When a broker's answer would still be in time.
        self._answer_by = self._give_up - policy.way_back
        self._resume = now
        self._sent_at = now
        self._doubt_since: float | None = None
        self._doubtful: frozenset[int] = _NONE
        #: Endpoints that do not let this client in.
        self._shut: frozenset[int] = _NONE
        self._counts = outcome.Counts()
        self._refusal: Envelope | None = None
        #: The request's end, once it has been reached.
        self.envelope: Envelope | None = None
        self._draft: Draft | None = None
        if isinstance(message, Draft):
            self._draft = message
            return
        try:
            self._draft = Draft(message, new_id, policy.max_request)
        except RequestError as error:
            self.envelope = failure_fields(error)

    # What to do -------------------------------------------------------------------------

    def next_action(self, now: float) -> Action:
        """Return what to do now; each ``Try`` begins a try."""
        if self.envelope is None and self._is_spent(now):
            self.envelope = self._last_outcome(now)
        if self.envelope is not None:
            return Done(self.envelope)
        if self._resume > now:
            return Wait(self._resume)
        self._counts.tries += 1
        until = min(now + self._policy.timeout, self._give_up)
        return Try(self._endpoint, min(until, now + self._patience()), until)

    def body(self, now: float) -> bytes:
        """Return the request as it is to be sent now."""
        draft = self._draft
        if draft is None:
            raise ValueError("a request that cannot be written has no body")
        if draft.is_plain and self._doubt_since is None:
            # As nearly always: whole tries are left, and nothing is to be said of earlier ones.
            return draft.start + first_ending(self._answer_by - now)
        return draft.body(
            Moment(
                now - self._started,
                0.0 if self._doubt_since is None else now - self._doubt_since,
                self._may_be_elsewhere(),
                self._remaining(now),
            )
        )

    def _may_be_elsewhere(self) -> bool:
        """Say whether another broker than this try's may know the request."""
        assert self._draft is not None
        if self._draft.is_old and len(self._policy.endpoints) > 1:
            return True
        return bool(self._doubtful) and bool(self._doubtful - {self._endpoint})

    def _is_spent(self, now: float) -> bool:
        """Whether no try is left; a delay that outlasts the budget is not waited for."""
        if self._counts.unanswered >= self._policy.retries:
            return True
        if len(self._shut) == len(self._policy.endpoints):
            return True
        return max(now, self._resume) > self._give_up - _MOMENT

    def _last_outcome(self, now: float) -> Envelope:
        if self._refusal is not None:
            return self._refusal
        waited = now - self._started
        request_id = self._draft.id if self._draft else None
        return outcome.no_answer(self._policy.endpoints, self._counts, waited, request_id)

    def _patience(self) -> float:
        count = len(self._policy.endpoints)
        if count == 1:
            return self._policy.timeout
        return self._policy.first_patience * 2.0 ** min(self._counts.unconnected // count, 30)

    def _remaining(self, now: float) -> float:
        """Return the seconds within which a broker's answer would still be in time.

        That is for as long as this and all further sends are waited for, less the answer's
        way back: a broker that says ``deadline`` tells more than silence.
        """
        timeout = self._policy.timeout
        sends_left = self._policy.retries - self._counts.unanswered
        return max(0.0, min(self._answer_by - now, sends_left * timeout - self._policy.way_back))

    # What came of it --------------------------------------------------------------------

    def on_sent(self, now: float) -> None:
        """The body has been handed to a connection."""
        self._sent_at = now
        self._counts.sends += 1

    def on_turned_back(self) -> None:
        """What was sent was not taken, and will be sent in another form: it was no send."""
        self._counts.sends -= 1

    def on_unconnected(self, reason: str = "", hint: str = "") -> None:
        """The try ended without a connection, for a ``reason`` where one is known.

        ``hint`` is a sentence about handshakes that failed meanwhile.
        """
        self._counts.unconnected += 1
        self._counts.reason = reason
        self._counts.hint = hint or self._counts.hint
        self._turn_to_next()

    def on_refused(self, refusal: str) -> None:
        """The broker does not let this client in; ``refusal`` is a sentence that says why."""
        self._counts.unconnected += 1
        self._counts.refusal = refusal
        self._shut |= {self._endpoint}
        self._turn_to_next()

    def on_silence(self) -> None:
        """The try's time ended without a reply."""
        self._remain_in_doubt()

    def on_loss(self, now: float) -> None:
        """The connection broke after the request was sent: no reply can come by it."""
        self._counts.lost += 1
        self._remain_in_doubt()
        self._delay(now, self._counts.lost)

    def on_reply(self, body: bytes, now: float) -> bool:
        """Take a reply; return whether it settled this try.

        One that names another request's id is not ours, and is passed over.
        """
        try:
            value = decode_object(body)
            if value.get("success") != SUCCESS:
                require_reply(value, body)
        except ProtocolError as error:
            return self._be_baffled(error, body)
        return self._take(value, now)

    def on_value(self, value: Any, now: float) -> bool:
        """Take a reply that has been decoded, as :meth:`on_reply` does."""
        try:
            envelope = require_reply(value)
        except ProtocolError as error:
            return self._be_baffled(error, encode(value, Encoding.JSON))
        return self._take(envelope, now)

    def _be_baffled(self, error: ProtocolError, body: bytes) -> bool:
        self.envelope = outcome.malformed(error, self._policy.endpoints[self._endpoint], body)
        return True

    def _take(self, envelope: Envelope, now: float) -> bool:
        meta = envelope.get("meta")
        if meta is not None and self._is_for_another(meta):
            return False
        if envelope["success"] == SUCCESS:
            self.envelope = envelope
            return True
        code = outcome.code_of(envelope)
        if code in ("busy", "shutting_down"):
            self._be_refused(envelope, code, now)
        else:
            self.envelope = envelope
        return True

    def _is_for_another(self, meta: Any) -> bool:
        named = meta.get("id") if isinstance(meta, dict) else None
        return named is not None and self._draft is not None and named != self._draft.id

    def _remain_in_doubt(self) -> None:
        """From now on the request may be known where it went.

        Only such sends make it older and moved: a request that was refused is as new as
        before to every broker.
        """
        self._counts.unanswered += 1
        self._doubtful |= {self._endpoint}
        if self._doubt_since is None:
            self._doubt_since = self._sent_at
        self._refusal = None
        self._turn_to_next()

    def _be_refused(self, envelope: Envelope, code: str, now: float) -> None:
        self._counts.refused += 1
        self._refusal = envelope
        self._delay(now, self._counts.refused, outcome.retry_after(envelope))
        if code == "shutting_down":
            self._turn_to_next()

    def _delay(self, now: float, attempt: int, floor: float = 0.0) -> None:
        delay = exponential(attempt, base=BACKOFF_BASE, limit=BACKOFF_LIMIT, jitter=self._jitter)
        # Those who are refused together are told the same: they are spread over half as much
        # again, or they would come back together.
        self._resume = now + floor * (1 + 0.5 * self._jitter()) + delay

    def _turn_to_next(self) -> None:
        count = len(self._policy.endpoints)
        following = [(self._endpoint + step) % count for step in range(1, count + 1)]
        self._endpoint = next((i for i in following if i not in self._shut), following[0])
