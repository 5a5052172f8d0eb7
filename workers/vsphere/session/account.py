"""Who logs in at a vCenter: careful not to be locked out, and to leave no session behind."""

from __future__ import annotations

import os
import secrets
import socket

from workers.vsphere.hosts.password import Password
from workers.vsphere.session.connection import Target
from workers.vsphere.session.login import Login, log_in
from workers.vsphere.session.refusal import Refusal
from workers.vsphere.vmomi import vim, vmodl


class Account:
    """Logs one user in at one vCenter; by one thread at a time.

    All its sessions bear one name that no other's have. So one that the vCenter opened
    without our knowing, because its answer was lost, or that could not be logged out, is found
    and ended by the next login.
    """

    def __init__(self, target: Target, user: str, password: Password) -> None:
        self.target = target
        self.user = user
        self._password = password
        self._refusal = Refusal()
        self._agent = _unique_name()
        self._latest: Login | None = None
        self._is_unclear = False

    def log_in(self) -> Login:
        """Return a new login.

        Raises ``NotYet`` where the same password was refused a moment ago, ``ConfigError``
        where there is none, and what :func:`workers.vsphere.session.login.log_in` raises.
        """
        password = self._refusal.checked(self._password)
        try:
            login = log_in(self.target, self.user, password, self._agent)
        except vim.fault.InvalidLogin as error:
            self._refusal.note(password, error)
            raise
        except Exception as error:
            self._is_unclear |= not isinstance(error, vmodl.MethodFault)
            raise
        self._refusal.forget()
        self._sweep(login)
        return login

    def forgive(self) -> None:
        """Let the next login be tried at once, even with a password that was refused."""
        self._refusal.forget()

    def _sweep(self, login: Login) -> None:
        if self._is_unclear or (self._latest is not None and not self._latest.is_logged_out):
            login.has_strays = True
            login.end_strays()
        self._latest, self._is_unclear = login, False


def _unique_name() -> str:
    return f"vpoller-like ({socket.gethostname()}, pid {os.getpid()}, {secrets.token_hex(8)})"
