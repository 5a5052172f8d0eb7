"""What can go wrong with a vCenter: which failures a new try mends, and what to say of others."""

from __future__ import annotations

import enum
import math
import socket
import ssl
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from xml.parsers.expat import ExpatError

from vpoller_like.errors import ConfigError, RequestError, TaskFailed
from workers.vsphere.connection import ConnectTimeout, Target
from workers.vsphere.tls import ThumbprintMismatch, with_colons
from workers.vsphere.vmomi import vim, vmodl


class Loss(enum.Enum):
    """What a failed call has lost, and a new try may bring back."""

    CONNECTION = "connection"
    SESSION = "session"


class NotYet(Exception):
    """What its cause tells of happened just now and is not tried again yet."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not tried again for {seconds:.0f} s")
        self.seconds = seconds


def loss_of(error: BaseException) -> Loss | None:
    """Return what ``error`` says is lost; ``None`` where another try is of no use.

    A time-out is no loss: the next try would take as long.
    """
    if isinstance(error, vim.fault.NotAuthenticated):
        return Loss.SESSION
    if isinstance(error, vmodl.fault.ManagedObjectNotFound) and _is_ours(error.obj):
        return Loss.SESSION
    if isinstance(error, (TimeoutError, ssl.SSLCertVerificationError)):
        return None
    if isinstance(error, (OSError, HTTPException, ExpatError)):
        return Loss.CONNECTION
    return None


def explain(error: BaseException, target: Target, user: str) -> RequestError | None:
    """Return ``error`` as one sentence for the caller, or ``None`` for a fault of our own.

    ``details["reason"]`` is a word for programs: ``login_refused``, ``untrusted``,
    ``unreachable``, ``timeout``, ``no_permission``, ``config`` or ``vcenter_fault``.
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, ConfigError):
        return TaskFailed(error.message, reason="config", host=target.host)
    if isinstance(error, NotYet) and error.__cause__ is not None:
        return _postponed(explain(error.__cause__, target, user), error.seconds)
    for kinds, teller in _TELLERS:
        if isinstance(error, kinds):
            reason, sentence = teller(error, target, user)
            return TaskFailed(sentence, reason=reason, host=target.host)
    return None


Told = tuple[str, str]


def _is_ours(managed: Any) -> bool:
    """Say whether this object lives and dies with a session, as views do."""
    return isinstance(managed, vim.view.View)


def _postponed(told: RequestError | None, seconds: float) -> RequestError | None:
    if told is None:
        return None
    later = f"; the next try is in {math.ceil(seconds)} s"
    return TaskFailed(told.message + later, **told.details)


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


def _no_connection(_: Any, target: Target, __: str) -> Told:
    return "timeout", (
        f"vCenter {target} could not be connected within {target.connect_timeout:g} s: "
        "check that it is up and that nothing between drops the packets"
    )


def _silence(_: Any, target: Target, __: str) -> Told:
    return "timeout", (
        f"vCenter {target} did not answer within {target.timeout:g} s: "
        "it may be overloaded; ask for less, or raise timeout_ms"
    )


def _no_address(_: Any, target: Target, __: str) -> Told:
    return "unreachable", f"The host name {target.host!r} has no address: check host and the DNS"


def _unreachable(error: OSError, target: Target, _: str) -> Told:
    return "unreachable", (
        f"vCenter {target} cannot be reached ({error.strerror or error}): "
        "check that it is up, and host and port"
    )


def _bad_http(error: Exception, target: Target, _: str) -> Told:
    return "unreachable", (
        f"{target} does not answer as a vCenter does ({error or type(error).__name__}): "
        "check host and port, and that its services are up"
    )


#: The first that fits speaks, so the narrower come first.
_TELLERS: tuple[tuple[Any, Callable[[Any, Target, str], Told]], ...] = (
    (vim.fault.InvalidLogin, _refused),
    (vim.fault.NotAuthenticated, _logged_out),
    (vim.fault.NoPermission, _not_permitted),
    (vmodl.MethodFault, _fault),
    (ssl.SSLCertVerificationError, _unverified),
    (ThumbprintMismatch, _mismatch),
    (ssl.SSLError, _no_tls),
    (ConnectTimeout, _no_connection),
    (TimeoutError, _silence),
    (socket.gaierror, _no_address),
    (OSError, _unreachable),
    ((HTTPException, ExpatError), _bad_http),
)
