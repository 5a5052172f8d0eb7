"""What can go wrong with a vCenter: which failures a new try mends, and what to say of others."""

from __future__ import annotations

import enum
import errno
import math
import socket
import ssl
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from xml.parsers.expat import ExpatError

from vpoller_like.errors import ConfigError, RequestError, TaskFailed
from workers.vsphere.session.connection import ConnectTimeout, Overdue, Target
from workers.vsphere.session.slots import TooManyCalls
from workers.vsphere.session.tls import ThumbprintMismatch, with_colons
from workers.vsphere.vmomi import vim, vmodl


class Loss(enum.Enum):
    """What a failed call has lost, and a new try may bring back."""

    CONNECTION = "connection"
    SESSION = "session"


class Sign(enum.Enum):
    """What a failed call says of the host."""

    #: It answered, be it with a fault.
    ALIVE = "alive"
    #: No connection is to be had.
    DEAD = "dead"
    #: It may be dead, or this one call was too much for it.
    DOUBTFUL = "doubtful"


class NotYet(Exception):
    """What its cause tells of happened ``age`` seconds ago and is not tried again yet.

    ``retry_in`` are the seconds until then, 0 while it is being tried; it has been so for
    ``down`` seconds.
    """

    def __init__(self, age: float, retry_in: float, down: float) -> None:
        super().__init__(f"not tried again for {retry_in:.0f} s")
        self.age = age
        self.retry_in = retry_in
        self.down = down


class Closed(Exception):
    """The agent was disconnected while this was under way."""


def loss_of(error: BaseException) -> Loss | None:
    """Return what ``error`` says is lost; ``None`` where another try is of no use.

    A time-out is no loss, the next try would take as long, and neither is a connection that
    was never there.
    """
    if isinstance(error, vim.fault.NotAuthenticated):
        return Loss.SESSION
    if isinstance(error, vmodl.fault.ManagedObjectNotFound) and _is_ours(error.obj):
        return Loss.SESSION
    if isinstance(error, (OSError, HTTPException, ExpatError)) and not _is_final(error):
        return Loss.CONNECTION
    return None


def sign_of(error: BaseException) -> Sign | None:
    """Return what ``error`` says of the host; ``None`` where it says nothing.

    A name without an address and a certificate that is not trusted say nothing; that nobody
    could be asked for the address does, as it takes long to find out.
    """
    if isinstance(error, vmodl.MethodFault):
        return Sign.ALIVE
    if isinstance(error, (ConnectTimeout, ConnectionRefusedError)):
        return Sign.DEAD
    if isinstance(error, OSError) and (error.errno in _NO_WAY or _is_dns_deaf(error)):
        return Sign.DEAD
    if isinstance(error, (TimeoutError, ConnectionError, HTTPException, ExpatError, *_CUT)):
        return Sign.DOUBTFUL
    return None


def explain(error: BaseException, target: Target, user: str) -> RequestError | None:
    """Return ``error`` as one sentence for the caller, or ``None`` for a fault of our own.

    ``details["reason"]`` is a word for programs: ``login_refused``, ``untrusted``,
    ``unreachable``, ``timeout``, ``busy``, ``closed``, ``no_permission``, ``not_found``,
    ``config`` or ``vcenter_fault``. A failure that is remembered has also ``age_s``, ``down_s`` and
    ``retry_in_s``.
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, ConfigError):
        return TaskFailed(error.message, reason="config", host=target.host)
    if isinstance(error, NotYet) and error.__cause__ is not None:
        return _postponed(explain(error.__cause__, target, user), error)
    for kinds, teller in _TELLERS:
        if isinstance(error, kinds):
            reason, sentence = teller(error, target, user)
            return TaskFailed(sentence, reason=reason, host=target.host)
    return None


Told = tuple[str, str]

#: No way leads to the host.
_NO_WAY = (
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
)


#: A connection that ended within TLS.
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


def _is_dns_deaf(error: OSError) -> bool:
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN


def _is_final(error: BaseException) -> bool:
    if isinstance(error, ssl.SSLError):
        return not isinstance(error, _CUT)
    if isinstance(error, (TimeoutError, ConnectionRefusedError, socket.gaierror)):
        return True
    return isinstance(error, OSError) and error.errno in _NO_WAY


def _is_ours(managed: Any) -> bool:
    """Say whether this object lives and dies with a session, as views do."""
    return isinstance(managed, vim.view.View)


def _postponed(told: RequestError | None, error: NotYet) -> RequestError | None:
    if told is None:
        return None
    later = f"the next try is in {math.ceil(error.retry_in)} s"
    if not error.retry_in:
        later = "it is being tried again now"
    return TaskFailed(
        f"{told.message}; that was {error.age:.0f} s ago, and {later}",
        **told.details,
        age_s=round(error.age, 1),
        down_s=round(error.down, 1),
        retry_in_s=round(error.retry_in, 1),
    )


def _refused(_: Any, target: Target, user: str) -> Told:
    return "login_refused", (
        f"vCenter {target} refused the login of user {user!r}: check the user and the password"
    )


def _logged_out(_: Any, target: Target, user: str) -> Told:
    return "vcenter_fault", (
        f"vCenter {target} ended the session of user {user!r} right after its login: "
        "check that it accepts more sessions"
    )


def _not_permitted(error: Any, target: Target, user: str) -> Told:
    privilege = f" (privilege {error.privilegeId})" if error.privilegeId else ""
    return "no_permission", (
        f"User {user!r} may not do this at vCenter {target}{privilege}: grant it there"
    )


def _gone(error: Any, target: Target, user: str) -> Told:
    if not isinstance(error.obj, vim.ManagedEntity):
        return _fault(error, target, user)
    return "not_found", (
        f"vCenter {target} has no {error.obj._wsdlName}:{error.obj._moId} (any more): "
        "look for it by its name"
    )


def _fault(error: Any, target: Target, _: str) -> Told:
    said = f": {error.msg}" if error.msg else ""
    return "vcenter_fault", f"vCenter {target} answered {error._wsdlName}{said}"


def _unverified(error: Any, target: Target, _: str) -> Told:
    return "untrusted", (
        f"The certificate of vCenter {target} cannot be verified ({error.verify_message}): "
        "name its authority with ca_file, or pin it with thumbprint, or switch the check off "
        "with verify = false"
    )


def _mismatch(error: ThumbprintMismatch, target: Target, _: str) -> Told:
    return "untrusted", (
        f"vCenter {target} showed a certificate with the thumbprint {with_colons(error.actual)}, "
        "which is not the configured one: if the certificate was renewed, configure the new "
        "thumbprint; if not, somebody may stand in between"
    )


def _no_tls(error: ssl.SSLError, target: Target, _: str) -> Told:
    return "unreachable", (
        f"{target} does not speak TLS as a vCenter does ({error.reason or error}): "
        "check host and port"
    )


def _no_connection(error: ConnectTimeout, target: Target, _: str) -> Told:
    return "timeout", (
        f"vCenter {target} could not be connected within {error.seconds:g} s: "
        "check that it is up and that nothing between drops the packets"
    )


def _overdue(error: Overdue, target: Target, _: str) -> Told:
    return "timeout", (
        f"The answer of vCenter {target} was not complete within {error.seconds:g} s: "
        "the way to it may be slow; ask for less, or raise timeout_ms"
    )


def _silence(_: Any, target: Target, __: str) -> Told:
    return "timeout", (
        f"vCenter {target} did not answer within {target.timeout:g} s: "
        "it may be overloaded; ask for less, or raise timeout_ms"
    )


def _no_address(error: OSError, target: Target, _: str) -> Told:
    return "unreachable", (
        f"The address of host name {target.host!r} cannot be found ({error.strerror}): "
        "check host and the DNS"
    )


def _unreachable(error: OSError, target: Target, _: str) -> Told:
    return "unreachable", (
        f"vCenter {target} cannot be reached ({error.strerror or error}): "
        "check that it is up, and host and port"
    )


def _bad_http(error: Exception, target: Target, _: str) -> Told:
    said = " ".join(str(error).split()) or type(error).__name__
    return "unreachable", (
        f"{target} does not answer as a vCenter does ({said}): "
        "check host and port, and that its services are up"
    )


def _too_many(error: TooManyCalls, target: Target, _: str) -> Told:
    return "busy", (
        f"{error.limit} calls to vCenter {target} were under way, and none ended within "
        f"{error.waited:g} s: ask for less at once, or raise max_calls"
    )


def _disconnected(_: Any, target: Target, __: str) -> Told:
    return "closed", f"The agent was disconnected from vCenter {target} meanwhile: ask again"


#: The first that fits speaks, so the narrower come first.
_TELLERS: tuple[tuple[Any, Callable[[Any, Target, str], Told]], ...] = (
    (vim.fault.InvalidLogin, _refused),
    (vim.fault.NotAuthenticated, _logged_out),
    (vim.fault.NoPermission, _not_permitted),
    (vmodl.fault.ManagedObjectNotFound, _gone),
    (vmodl.MethodFault, _fault),
    (ssl.SSLCertVerificationError, _unverified),
    (ThumbprintMismatch, _mismatch),
    (ssl.SSLError, _no_tls),
    (ConnectTimeout, _no_connection),
    (Overdue, _overdue),
    (TimeoutError, _silence),
    (socket.gaierror, _no_address),
    (OSError, _unreachable),
    (TooManyCalls, _too_many),
    (Closed, _disconnected),
    ((HTTPException, ExpatError), _bad_http),
)
