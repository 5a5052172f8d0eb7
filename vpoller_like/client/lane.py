"""One connection in use: who waits to be sent by it, and who for a reply to what was sent."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, NamedTuple

from vpoller_like.client.draft import Draft
from vpoller_like.client.policy import Exchange, Policy
from vpoller_like.protocol.batch import join_requests
from vpoller_like.protocol.encoding import Encoding
from vpoller_like.protocol.limits import MAX_PACK
from vpoller_like.transport.requester import Channel


class Room(NamedTuple):
    """What a broker takes in one message: so many requests, so many bytes together."""

    requests: int = 256
    bytes: int = MAX_PACK

    def smaller(self, code: str, limit: Any) -> Room:
        """Return the room at a broker that refused a message of this size.

        It did so for a ``code``, and may have told a ``limit`` with it.
        """
        if not isinstance(limit, int) or isinstance(limit, bool):
            return Room(1, self.bytes)
        if code == "too_large" and 0 < limit < self.bytes:
            return Room(self.requests, limit)
        return Room(limit if code == "bad_request" and 0 < limit < self.requests else 1, self.bytes)


class Leg:
    """One request in the air: what it waits for now, and until when."""

    __slots__ = (
        "_endpoint",
        "_exchange",
        "_is_begun",
        "_policy",
        "_sent_at",
        "_started",
        "draft",
        "is_trying",
        "key",
        "lane",
        "parcel",
        "place",
        "reason",
        "reply_until",
        "until",
    )

    def __init__(
        self, key: Hashable, policy: Policy, draft: Draft, now: float, endpoint: int
    ) -> None:
        self.key = key
        self.draft = draft
        self._policy = policy
        self._started = now
        self._endpoint = endpoint
        self._exchange: Exchange | None = None
        self._is_begun = False
        self._sent_at: float | None = None
        self.lane: Lane | None = None
        #: Whether a try is under way, rather than the delay before one.
        self.is_trying = False
        #: What it was sent in, and where in it.
        self.parcel: Parcel | None = None
        self.place = 0
        self.until = -math.inf
        #: When this try ends, the connection made or not.
        self.reply_until = -math.inf
        #: Why no channel could be opened.
        self.reason = ""

    @property
    def exchange(self) -> Exchange:
        """What knows how the request goes on.

        Most requests end with their first try, and nobody asks for it: it is made when
        somebody does, as if it had been there from the start.
        """
        if self._exchange is None:
            start = self._started
            exchange = Exchange(self._policy, self.draft, start, first=self._endpoint)
            if self._is_begun:
                exchange.next_action(start)
            if self._sent_at is not None:
                exchange.on_sent(self._sent_at)
            self._exchange = exchange
        return self._exchange

    def begin(self) -> bool:
        """Begin the first try without :attr:`exchange`, if that can be; else do nothing."""
        policy = self._policy
        if not (policy.first_ending and self.draft.is_plain):
            return False
        self._is_begun = self.is_trying = True
        self.reply_until = self._started + policy.timeout
        self.until = self._started + policy.first_patience
        return True

    def body(self, now: float) -> bytes:
        """Return the request as it is to be sent now."""
        if self._exchange is None and self._is_begun:
            return self.draft.start + self._policy.ending(now - self._started)
        return self.exchange.body(now)

    def depart(self, parcel: Parcel, place: int, now: float) -> None:
        """It has been sent there."""
        self.parcel, self.place, self.until = parcel, place, self.reply_until
        if self._exchange is None:
            self._sent_at = now
        else:
            self._exchange.on_sent(now)


class Parcel:
    """What one message carries: a request, or a batch of them; by place, until answered."""

    __slots__ = ("legs", "size", "token")

    def __init__(self, token: bytes, legs: list[Leg], size: int) -> None:
        self.token = token
        self.legs = dict(enumerate(legs))
        #: How much room it took.
        self.size = Room(len(legs), size)

    @property
    def is_batch(self) -> bool:
        """Whether it is an array, were it of one request."""
        return self.size.requests > 1

    def fits(self, room: Room) -> bool:
        """Say whether it would be sent where there is so much room."""
        return self.size.requests <= room.requests and self.size.bytes <= room.bytes


class Lane:
    """One channel to ``endpoint``, an index; by key who boards, by token what was sent."""

    __slots__ = ("boarding", "channel", "endpoint", "sent")

    def __init__(self, endpoint: int, channel: Channel) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self.boarding: dict[Hashable, Leg] = {}
        self.sent: dict[bytes, Parcel] = {}

    @property
    def is_empty(self) -> bool:
        return not self.boarding and not self.sent

    def send(self, legs: list[Leg], bodies: list[bytes]) -> Parcel | None:
        """Send these requests in one message; return ``None`` where there is no connection."""
        body = bodies[0] if len(bodies) == 1 else join_requests(bodies, Encoding.JSON)
        token = self.channel.send(body)
        if token is None:
            return None
        parcel = self.sent[token] = Parcel(token, legs, len(body))
        return parcel

    def settle(self, parcel: Parcel, place: int) -> None:
        """The request there needs no reply any more."""
        del parcel.legs[place]
        if not parcel.legs:
            del self.sent[parcel.token]

    def cleared(self) -> list[Leg]:
        """Forget what was sent; return who waited for a reply."""
        legs = [leg for parcel in self.sent.values() for leg in parcel.legs.values()]
        self.sent.clear()
        return legs


def together(
    legs: Iterable[Leg], now: float, room: Room
) -> Iterator[tuple[list[Leg], list[bytes]]]:
    """Group ``legs`` by what goes as one message, each group with its requests' bodies.

    A message holds as much as there is ``room``, or just one request that is larger.
    """
    group: list[Leg] = []
    bodies: list[bytes] = []
    # A bracket, and each body with a comma or the other bracket.
    size = 1
    for leg in legs:
        body = leg.body(now)
        if group and (len(group) >= room.requests or size + len(body) + 1 > room.bytes):
            yield group, bodies
            group, bodies, size = [], [], 1
        group.append(leg)
        bodies.append(body)
        size += len(body) + 1
    if group:
        yield group, bodies
