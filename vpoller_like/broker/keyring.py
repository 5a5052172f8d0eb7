"""The broker's keys: its own, and the file of those who may use it, read again as it changes."""

from __future__ import annotations

import logging
import os

from vpoller_like.authorized import AuthorizedList
from vpoller_like.broker.access import Access
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import ConfigError
from vpoller_like.keys import KeyDirectory
from vpoller_like.transport.curve import Pair, pair_of

log = logging.getLogger("vpoller.broker")

#: Seconds between two looks at the file; a version counts at the second one that sees it.
LOOK = 0.4

#: What tells one version of a file from another: inode, times of change (content, modes), size.
_Version = tuple[int, int, int, int]


class Keyring:
    """Keeps ``access`` as the file says.

    Raises ``ConfigError`` where the broker has a key by which nobody could come in, or
    that cannot be read.
    """

    def __init__(self, settings: BrokerSettings, keys: KeyDirectory) -> None:
        self._authorized = AuthorizedList(keys.path)
        #: The broker's own key, if it has one.
        self.pair: Pair | None = None
        members = None
        #: The version that was read last, and the one that was there at the last look.
        self._seen = self._glimpsed = self._version()
        #: Why it was not taken, if it was not.
        self._trouble = ""
        self._next_look = 0.0
        if settings.key:
            self.pair = pair_of(keys.secret(settings.key))
            members = self._authorized.read()
            if not members:
                raise ConfigError(_nobody(settings.key, self._authorized.file))
        self.access = Access(members, settings.allow_plain, settings.open_methods)

    def look(self, now: float) -> set[str]:
        """Read the file if it has changed; return the keys that are gone or changed.

        It is left to settle from one look to the next: it may be written in place. One that
        could not be read is tried again, for what hindered need not show in the file.
        """
        if self.pair is None or now < self._next_look:
            return set()
        self._next_look = now + LOOK
        version = self._version()
        settled, self._glimpsed = version == self._glimpsed, version
        if not settled or (version == self._seen and not self._trouble):
            return set()
        return self._read()

    def reload(self) -> set[str]:
        """Read the file; return the keys that are gone or changed.

        One that is wrong, empty or not there changes nothing, and is logged.
        """
        self._trouble = ""  # to be told again
        return set() if self.pair is None else self._read()

    def _read(self) -> set[str]:
        self._seen = self._version()
        try:
            members = self._authorized.read_again()
            changed = self.access.renew(members)
        except ConfigError as error:
            if str(error) != self._trouble:
                log.error("%s; those who were authorised before still are", error)
            self._trouble = str(error)
            return set()
        self._trouble = ""
        log.info("%d keys are authorised (%d gone or changed)", len(members), len(changed))
        return changed

    def _version(self) -> _Version | None:
        try:
            found = os.stat(self._authorized.file)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _nobody(name: str, file: str) -> str:
    return (
        f'broker.key is "{name}", and nobody is authorised: {file} names no key; '
        "run `vpoller keys authorize NAME --role caller`, and the same with --role worker, for "
        "those who may use the broker"
    )
