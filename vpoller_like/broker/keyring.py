"""The broker's keys: its own, and the file of those who may use it, read again as it changes."""

from __future__ import annotations

import logging
import os

from vpoller_like.broker.access import Access
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import ConfigError
from vpoller_like.keys import KeyDirectory
from vpoller_like.transport.curve import Pair, pair_of

log = logging.getLogger("vpoller.broker")

#: Seconds between two looks at the file.
LOOK = 1.0

#: What tells one version of a file from another: inode, time of change, size.
_Version = tuple[int, int, int]


class Keyring:
    """Keeps ``access`` as the file says.

    Raises ``ConfigError`` where the broker has a key by which nobody could come in, or
    that cannot be read.
    """

    def __init__(self, settings: BrokerSettings, keys: KeyDirectory) -> None:
        self._keys = keys
        #: The broker's own key, if it has one.
        self.pair: Pair | None = None
        members = None
        self._seen = self._version()
        self._next_look = 0.0
        if settings.key:
            self.pair = pair_of(keys.secret(settings.key))
            members = keys.authorized()
            if not members:
                raise ConfigError(_nobody(settings.key, keys))
        self.access = Access(members, settings.allow_plain, settings.plain_methods)

    def look(self, now: float) -> set[str]:
        """Read the file if it has changed; return the keys that are gone or changed."""
        if self.pair is None or now < self._next_look:
            return set()
        self._next_look = now + LOOK
        version = self._version()
        return set() if version == self._seen else self.reload()

    def reload(self) -> set[str]:
        """Read the file; return the keys that are gone or changed.

        One that is wrong or not there changes nothing, and is logged.
        """
        if self.pair is None:
            return set()
        self._seen = self._version()
        try:
            if self._seen is None:
                raise ConfigError(f"{self._keys.authorized_file} is gone")
            members = self._keys.authorized()
            changed = self.access.renew(members)
        except ConfigError as error:
            log.error("%s; those who were authorised before still are", error)
            return set()
        log.info("%d keys are authorised (%d gone or changed)", len(members), len(changed))
        return changed

    def _version(self) -> _Version | None:
        try:
            found = os.stat(self._keys.authorized_file)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _nobody(name: str, keys: KeyDirectory) -> str:
    return (
        f'broker.key is "{name}", and nobody is authorised: {keys.authorized_file} names no key; '
        "run `vpoller keys authorize NAME --role caller`, and the same with --role worker, for "
        "those who may use the broker"
    )
