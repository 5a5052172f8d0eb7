"""The secrets that this process knows, kept out of all that it logs.

A task's own errors are cleaned where they are answered (:mod:`~vpoller_like.agent.faults`).
This is for what is said beside that: by an agent's logger, by the libraries it uses, by a
start that fails.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from vpoller_like.agent.secrets import SHORTEST, hide

log = logging.getLogger("vpoller.agent")


class Vault:
    """Holds the configured secrets for good, and a task's while it runs. Any thread's."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    def keep(self, secrets: Iterable[str]) -> None:
        """Hide these from now on."""
        with self._lock:
            self._held.update(secrets)

    @contextlib.contextmanager
    def guarding(self, secrets: list[str]) -> Iterator[None]:
        """Hide these for as long as the block runs."""
        self.keep(secrets)
        try:
            yield
        finally:
            self._let_go(secrets)

    def forget(self) -> None:
        """Hide nothing any more."""
        with self._lock:
            self._held.clear()

    def holds(self, value: Any) -> bool:
        """Say whether ``value`` is one of the secrets."""
        with self._lock:
            return str(value) in self._held

    def hide(self, text: str) -> str:
        """Return ``text`` without any of the secrets."""
        with self._lock:
            held = sorted(_long_enough(self._held), key=len, reverse=True)
        return hide(text, held) if held else text

    def _let_go(self, secrets: Iterable[str]) -> None:
        with self._lock:
            for secret in secrets:
                self._held[secret] -= 1
                if self._held[secret] <= 0:
                    del self._held[secret]


#: This process's; logs are a process's as well.
VAULT = Vault()


def hide_from_now_on(secret: str) -> None:
    """Show stars for ``secret`` in every log and error of this process, for good."""
    if secret and not VAULT.holds(secret):
        VAULT.keep([secret])


class DiscreetFormatter(logging.Formatter):
    """Writes records as another formatter does, without the vault's secrets."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        #: How they would be written otherwise.
        self.inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole text, its traceback included."""
        return VAULT.hide(self.inner.format(record))


def guard_logs() -> None:
    """From now on, hide the vault's secrets in what is logged and in what nobody caught.

    To be called when logging is set up.
    """
    for handler in (*logging.getLogger().handlers, logging.lastResort):
        if handler is not None and not isinstance(handler.formatter, DiscreetFormatter):
            handler.setFormatter(DiscreetFormatter(handler.formatter))
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    log.critical("the process ends", exc_info=(kind, error, traceback))


def _uncaught_in_thread(args: Any) -> None:
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread else "?"
        fault = (args.exc_type, args.exc_value, args.exc_traceback)
        log.error("thread %s ends", name, exc_info=fault)


def _long_enough(secrets: Iterable[str]) -> list[str]:
    # A log without every line in which some letter occurs tells nothing any more.
    return [secret for secret in secrets if len(secret) >= SHORTEST]
