"""Requests that come on stdin, a JSON object on each line."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vpoller_like.errors import BadRequest, ProtocolError, RequestError
from vpoller_like.protocol.encoding import decode_object
from vpoller_like.protocol.limits import MAX_FRAME

_BLOCK = 1 << 16
#: Blocks that are read at most before others have their turn.
READS = 16


class Place(NamedTuple):
    """A line's number, from 1, and how many bytes there are up to its end."""

    number: int
    end: int


class Lines:
    """The lines of ``fileno`` as requests; a client's ``map`` takes it for its requests.

    Nothing is read before there is room for it, and nothing is waited for. ``fallback``
    holds what a request has where its line does not say it. Empty lines are passed over. A
    line that is no JSON object becomes the error that names it by its number.
    """

    def __init__(self, fileno: int, fallback: Mapping[str, Any]) -> None:
        self._fileno = fileno
        self._fallback = fallback
        #: Whole lines that were read and not drawn.
        self._lines: deque[bytes] = deque()
        self._pieces: list[bytes] = []
        self._length = 0
        self._is_ended = False
        self._number = 0
        self._end = 0
        #: Those that were drawn and not :meth:`answered`, in order.
        self._drawn: deque[Place] = deque()

    @property
    def is_exhausted(self) -> bool:
        """Whether no more requests will come."""
        return self._is_ended and not self._lines

    def filenos(self) -> list[int]:
        """Return what becomes readable when more may be there."""
        return [] if self._is_ended else [self._fileno]

    def draw(self, most: int) -> Sequence[dict[str, Any] | RequestError]:
        """Return up to ``most`` requests that are there now."""
        requests: list[dict[str, Any] | RequestError] = []
        # What is under way wants to be looked at too, however much empty space is read.
        reads = iter(range(READS))
        while len(requests) < most and (
            self._lines or (next(reads, None) is not None and self._read())
        ):
            while self._lines and len(requests) < most:
                line = self._lines.popleft()
                self._number += 1
                self._end += len(line) + 1
                if line.strip():
                    self._drawn.append(Place(self._number, self._end))
                    requests.append(self._request(line))
        return requests

    def answered(self) -> Place:
        """Return where the request was that gets the next answer."""
        return self._drawn.popleft()

    def _request(self, line: bytes) -> dict[str, Any] | RequestError:
        if len(line) > MAX_FRAME:
            limit = f"more than the {MAX_FRAME} bytes that a request may ever have"
            return BadRequest(f"line {self._number}: {limit}; send less", line=self._number)
        try:
            return {**self._fallback, **decode_object(line)}
        except ProtocolError as error:
            advice = "write one JSON object on each line"
            return BadRequest(f"line {self._number}: {error.message}; {advice}", line=self._number)

    # What is read -----------------------------------------------------------------------

    def _read(self) -> bool:
        """Read what is there; say whether to go on, as a line has come or may come yet."""
        if self._is_ended or not select.select([self._fileno], [], [], 0)[0]:
            return False
        data = os.read(self._fileno, _BLOCK)
        if not data:
            self._is_ended = True
            self._end_line(b"", bool(self._pieces))
        else:
            first, *others = data.split(b"\n")
            self._end_line(first, bool(others))
            if others:
                self._lines.extend(others[:-1])
                self._end_line(others[-1], False)
        return True

    def _end_line(self, piece: bytes, is_whole: bool) -> None:
        """Take a piece of the line that is being read, its last one if that ``is_whole``."""
        # Of one that is too long only so much is kept as tells that.
        if piece and self._length <= MAX_FRAME:
            self._pieces.append(piece)
            self._length += len(piece)
        if is_whole:
            self._lines.append(b"".join(self._pieces))
            self._pieces, self._length = [], 0
