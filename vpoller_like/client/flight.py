"""Requests on their way: exchanges, and the channels that carry them.

Nothing here blocks. A driver calls :meth:`Flight.turn`, and in between waits until one of
:meth:`Flight.filenos` is readable or :meth:`Flight.patience` is over. That wait is all in
which the synchronous and the asynchronous client differ.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from types import TracebackType
from typing import Any

from vpoller_like.client.outcome import Envelope
from vpoller_like.client.policy import Done, Exchange, Policy, Try, Wait
from vpoller_like.clock import Clock, monotonic
from vpoller_like.errors import Unreachable
from vpoller_like.transport.requester import Channel, Reply, Requester


class Leg:
    """One request in the air: what it waits for now, and until when."""

    __slots__ = ("exchange", "is_trying", "key", "lane", "reason", "reply_until", "token", "until")

    def __init__(self, key: Hashable, exchange: Exchange) -> None:
        self.key = key
        self.exchange = exchange
        self.lane: Lane | None = None
        #: Whether a try is under way, rather than the delay before one.
        self.is_trying = False
        #: Set once the request is sent.
        self.token: bytes | None = None
        self.until = -math.inf
        #: When this try ends, the connection made or not.
        self.reply_until = -math.inf
        #: Why no channel could be opened.
        self.reason = ""


class Lane:
    """One channel, and who waits on it: to be sent, or for a reply, by token."""

    __slots__ = ("boarding", "channel", "endpoint", "sent")

    def __init__(self, endpoint: int, channel: Channel) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self.boarding: dict[Hashable, Leg] = {}
        self.sent: dict[bytes, Leg] = {}

    @property
    def is_empty(self) -> bool:
        return not self.boarding and not self.sent


class Flight:
    """Carries any number of requests at once; used by one thread or task."""

    def __init__(self, requester: Requester, policy: Policy, clock: Clock = monotonic) -> None:
        self._requester = requester
        self._policy = policy
        self._clock = clock
        self._legs: dict[Hashable, Leg] = {}
        #: The lane that new requests take, by endpoint; the others only finish.
        self._current: dict[int, Lane] = {}
        self._lanes: list[Lane] = []
        #: Nothing runs out before this.
        self._due = math.inf
        #: What has ended, by the key it was launched with; the driver takes it out.
        self.landed: dict[Hashable, Envelope] = {}

    def __len__(self) -> int:
        """Return how many requests are in the air."""
        return len(self._legs)

    def launch(self, key: Hashable, message: dict[str, Any]) -> None:
        """Start a request; its envelope will be ``landed[key]``.

        Raises ``TypeError`` where ``message`` is not a dict.
        """
        now = self._clock()
        exchange = Exchange(self._policy, message, now, first=self._requester.preferred)
        leg = self._legs[key] = Leg(key, exchange)
        self._proceed(leg, now)

    def turn(self) -> None:
        """Do all that can be done now.

        First what has arrived, then what has run out: a reply that lay waiting while the
        caller was elsewhere counts.
        """
        now = self._clock()
        self._serve(now)
        if now >= self._due:
            self._expire(now)
            self._serve(now)

    def filenos(self) -> list[int]:
        """Return the descriptors to wait for, valid until the next turn."""
        return [fileno for lane in self._lanes for fileno in lane.channel.filenos()]

    def patience(self) -> float:
        """Return after how many seconds the next turn is due at the latest."""
        return max(0.0, self._due - self._clock())

    # One request's next step ------------------------------------------------------------

    def _proceed(self, leg: Leg, now: float) -> None:
        leg.lane = leg.token = None
        leg.is_trying = False
        action = leg.exchange.next_action(now)
        match action:
            case Done(envelope):
                del self._legs[leg.key]
                self.landed[leg.key] = envelope
            case Wait(until):
                self._await(leg, until)
            case Try(endpoint, connect_until, until):
                leg.is_trying = True
                leg.reply_until = until
                self._await(leg, connect_until)
                self._board(leg, endpoint)

    def _await(self, leg: Leg, until: float) -> None:
        leg.until = until
        self._due = min(self._due, until)

    def _board(self, leg: Leg, endpoint: int) -> None:
        """Put ``leg`` on the current lane; where none can be opened, it waits in vain."""
        leg.reason = ""
        try:
            leg.lane = self._lane(endpoint)
        except Unreachable as error:
            leg.reason = error.message
            return
        leg.lane.boarding[leg.key] = leg

    # Lanes ------------------------------------------------------------------------------

    def _lane(self, endpoint: int) -> Lane:
        lane = self._current.get(endpoint)
        if lane is None:
            lane = Lane(endpoint, self._requester.take(endpoint))
            self._current[endpoint] = lane
            self._lanes.append(lane)
        return lane

    def _serve(self, now: float) -> None:
        # Until nothing moves: a descriptor tells of changes only, so the last thing done to
        # each socket must be to find nothing there.
        while any(self._serve_lane(lane, now) for lane in self._lanes.copy()):
            pass
        for lane in self._lanes.copy():
            if lane.is_empty and self._current.get(lane.endpoint) is not lane:
                self._leave(lane, clean=False)

    def _serve_lane(self, lane: Lane, now: float) -> bool:
        replies = lane.channel.receive()
        for reply in replies:
            self._land(lane, reply, now)
        if lane.channel.connected:
            return self._send(lane, now) or bool(replies)
        if lane.channel.refusal:
            return self._turn_away(lane, now)
        return self._lose(lane, now) or bool(replies)

    def _land(self, lane: Lane, reply: Reply, now: float) -> None:
        leg = lane.sent.get(reply.token)
        if leg is None or not leg.exchange.on_reply(reply.body, now):
            return
        del lane.sent[reply.token]
        self._proceed(leg, now)
        if leg.key in self.landed:
            self._requester.preferred = lane.endpoint

    def _send(self, lane: Lane, now: float) -> bool:
        """Send what boards, but for what has run out; say whether to look again."""
        boarding = [leg for leg in lane.boarding.values() if leg.reply_until > now]
        for leg in boarding:
            token = lane.channel.send(leg.exchange.body(now))
            if token is None:
                break
            leg.exchange.on_sent(now)
            leg.token = token
            lane.sent[token] = leg
            del lane.boarding[leg.key]
            self._await(leg, leg.reply_until)
        return bool(boarding)

    def _lose(self, lane: Lane, now: float) -> bool:
        """The connection of what was sent broke: its replies cannot come any more."""
        if not lane.sent:
            return False
        self._retire(lane)
        stranded, waiting = list(lane.sent.values()), list(lane.boarding.values())
        lane.sent.clear()
        lane.boarding.clear()
        for leg in stranded:
            leg.exchange.on_loss(now)
            self._proceed(leg, now)
        for leg in waiting:
            self._board(leg, lane.endpoint)
        return True

    def _turn_away(self, lane: Lane, now: float) -> bool:
        """The broker lets nobody in by this lane."""
        refused = list(lane.boarding.values())
        self._retire(lane)
        lane.boarding.clear()
        for leg in refused:
            leg.exchange.on_refused(lane.channel.refusal)
            self._proceed(leg, now)
        return bool(refused)

    def _retire(self, lane: Lane) -> None:
        """Use neither this lane nor idle channels to its endpoint for anything new."""
        if self._current.get(lane.endpoint) is lane:
            del self._current[lane.endpoint]
            self._requester.discard(lane.endpoint)

    def _leave(self, lane: Lane, *, clean: bool) -> None:
        self._lanes.remove(lane)
        self._requester.give_back(lane.endpoint, lane.channel, clean=clean)

    # Time -------------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        for leg in list(self._legs.values()):
            if leg.until <= now:
                self._run_out(leg, now)
        self._due = min((leg.until for leg in self._legs.values()), default=math.inf)

    def _run_out(self, leg: Leg, now: float) -> None:
        if leg.lane is not None:
            self._retire(leg.lane)
            leg.lane.boarding.pop(leg.key, None)
        if leg.token is not None and leg.lane is not None:
            del leg.lane.sent[leg.token]
            leg.exchange.on_silence()
        elif leg.is_trying:
            hint = leg.lane.channel.hint if leg.lane is not None else ""
            leg.exchange.on_unconnected(leg.reason, hint)
        self._proceed(leg, now)

    # The end ----------------------------------------------------------------------------

    def close(self) -> None:
        """Give every channel back; those that still owe a reply are closed."""
        for lane in self._lanes.copy():
            usable = lane.is_empty and self._current.get(lane.endpoint) is lane
            self._leave(lane, clean=usable)
        self._current.clear()
        self._legs.clear()
        self._due = math.inf

    def __enter__(self) -> Flight:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
