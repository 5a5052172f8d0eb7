"""Who may do what: the list of keys, and the networks that need none. Reads no file."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from vpoller_like.authorized import Authorized, Role
from vpoller_like.errors import ConfigError, Unauthorized
from vpoller_like.protocol.worker import Offer

#: Begins the user id of a connection without a key. No key and no key's name has a blank.
_PLAIN = "plain "
#: The user id of all who come in by a frontend that asks for no key.
_LOCAL = "local"
#: Whose leave to ask for which method is kept at most; a key with ``*`` may ask for anything.
_MANY = 10_000
#: The doors that ask for keys.
_DOORS = ("frontend", "backend", "admin")


class Patterns:
    """Patterns for the names of methods: ``*`` stands for anything, dots included."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(patterns)
        try:
            self._match = re.compile("|".join(map(fnmatch.translate, self._patterns))).match
        except (re.error, RecursionError) as error:
            raise ConfigError(f"patterns {', '.join(self._patterns)}: {error}") from error

    def __str__(self) -> str:
        return ", ".join(self._patterns) or "none"

    def allow(self, method: str) -> bool:
        """Say whether one of the patterns fits ``method``."""
        return bool(self._patterns) and self._match(method) is not None


class Member:
    """One who may use the broker."""

    __slots__ = ("entry", "methods", "name", "role")

    def __init__(self, entry: Authorized) -> None:
        self.entry = entry
        self.name = entry.name
        self.role: Role = entry.role
        self.methods = Patterns(entry.methods)


class Access:
    """The doors' rules.

    With ``members`` (a list, empty or not) frontend, backend and admin ask for keys;
    without (``None``) they ask for nothing. ``networks`` may come in by the open frontend,
    and ask there for ``open_methods``.
    """

    def __init__(
        self,
        members: Iterable[Authorized] | None = None,
        networks: Sequence[str] = (),
        open_methods: Sequence[str] = ("*",),
    ) -> None:
        self.asks_keys = members is not None
        self.networks = tuple(networks)
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._open_methods = Patterns(open_methods)
        self._members = _by_key(members or ())
        #: As whom a user was let in with a method: what :meth:`principal` would say again. Others
        #: hold it, too: it is cleared, and never another one.
        self.let_in: dict[tuple[str, str], str] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many keys of each role are authorised."""
        return dict(Counter(member.role for member in self._members.values()))

    def renew(self, entries: Iterable[Authorized]) -> set[str]:
        """Take another list; return the keys that are gone from it or changed in it."""
        before, self._members = self._members, _by_key(entries)
        self.let_in.clear()
        return {key for key, member in before.items() if member.entry != self._entry(key)}

    def _entry(self, key: str) -> Authorized | None:
        member = self._members.get(key)
        return None if member is None else member.entry

    # At the door -----------------------------------------------------------------------

    def admit(self, door: str, public_key: str, address: str) -> tuple[str, str]:
        """Decide on a connection: return its user id, or an empty one and the reason."""
        if door == "open_frontend":
            if self._is_near(address):
                return _PLAIN + address, ""
            return "", "the address is not in broker.allow_plain"
        if door not in _DOORS:
            return "", "there is no such door"
        if door == "frontend" and not self.asks_keys:
            return _LOCAL, ""
        member = self._members.get(public_key)
        if member is None:
            return "", "the key is not authorised"
        if door == "backend" and member.role != "worker":
            return "", f"{member.name} is a {member.role}'s key, not a worker's"
        return public_key, ""

    def _is_near(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self._networks)

    # Inside ----------------------------------------------------------------------------

    def shows_key(self, user: str) -> bool:
        """Say whether ``user`` came in by a door that asks for keys."""
        return self.asks_keys and not user.startswith(_PLAIN)

    def principal(self, user: str, method: str) -> str:
        """Return who asks for ``method``; raise ``Unauthorized`` if that one may not."""
        found = self._principal(user, method)
        if len(self.let_in) >= _MANY:
            self.let_in.clear()
        self.let_in[user, method] = found
        return found

    def _principal(self, user: str, method: str) -> str:
        if user.startswith(_PLAIN):
            if not self._open_methods.allow(method):
                raise Unauthorized(
                    f"clients without a key may ask for {self._open_methods} and not for "
                    f"{method}; ask with a key, or have it added to broker.open_methods",
                    method=method,
                )
            return user
        if not self.asks_keys:
            return ""
        member = self._member(user, method)
        if member.role == "worker":
            raise Unauthorized(
                f"{member.name} is a worker's key and may not ask for {method}; use a caller's",
                method=method,
            )
        if member.role != "admin" and not member.methods.allow(method):
            raise Unauthorized(
                f"{member.name} may ask for {member.methods} and not for {method}; `vpoller keys "
                f"authorize {member.name} --methods ...` at the broker changes that",
                method=method,
            )
        return member.name

    def require_admin(self, user: str, verb: str) -> None:
        """Raise ``Unauthorized`` unless ``user`` may use the admin endpoint."""
        if not self.asks_keys:
            return
        member = self._member(user, verb)
        if member.role != "admin":
            raise Unauthorized(
                f"{verb} needs an admin's key, and {member.name} is a {member.role}'s; `vpoller "
                f"keys authorize {member.name} --role admin` at the broker changes that",
                method=verb,
            )

    def _member(self, user: str, method: str) -> Member:
        member = self._members.get(user)
        if member is None:
            raise Unauthorized(
                f"this key is not authorised any more, and may not ask for {method}; `vpoller "
                "keys authorize` at the broker changes that",
                method=method,
            )
        return member

    def is_worker(self, user: str) -> bool:
        """Say whether ``user`` may be a worker."""
        if not self.asks_keys:
            return True
        member = self._members.get(user)
        return member is not None and member.role == "worker"

    def name_of(self, user: str) -> str:
        """Return the name of a key; empty for none."""
        member = self._members.get(user)
        return "" if member is None else member.name

    def allowed(self, user: str, offers: list[Offer]) -> tuple[list[Offer], list[str]]:
        """Return of a worker's ``offers`` what it may serve, and the methods left out."""
        member = self._members.get(user)
        if member is None:
            return offers, []
        kept, refused = [], []
        for offer in offers:
            methods = [method for method in offer.methods if member.methods.allow(method.name)]
            refused += [m.name for m in offer.methods if not member.methods.allow(m.name)]
            if methods:
                kept.append(msgspec.structs.replace(offer, methods=methods))
        return (kept, refused) if refused else (offers, [])


def _by_key(entries: Iterable[Authorized]) -> dict[str, Member]:
    return {entry.public_key: Member(entry) for entry in entries}
