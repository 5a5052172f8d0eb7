"""Where the database of hosts and the key of its passwords are."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

#: A service's: its user's, who may be root.
SYSTEM_DIRECTORY = "/var/lib/vpoller"
DATABASE = "vsphere-hosts.db"
KEY_FILE = "vsphere-hosts.key"


class Places(msgspec.Struct, frozen=True):
    """Two paths; neither file need exist."""

    database: str
    key_file: str


def find(
    database: str = "", key_file: str = "", environ: Mapping[str, str] | None = None
) -> Places:
    """Return where the files are, as the settings say or else by default.

    The key lies beside the database. The default is ``/var/lib/vpoller`` for root and for
    the user whom it belongs to, where it exists, and else the user's own configuration.
    """
    environ = os.environ if environ is None else environ
    path = os.path.expanduser(database) or os.path.join(_directory(environ), DATABASE)
    beside = os.path.join(os.path.dirname(path), KEY_FILE)
    return Places(path, os.path.expanduser(key_file) or beside)


def _directory(environ: Mapping[str, str]) -> str:
    if os.path.isdir(SYSTEM_DIRECTORY) and os.geteuid() in (0, os.stat(SYSTEM_DIRECTORY).st_uid):
        return SYSTEM_DIRECTORY
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    return os.path.join(base, "vpoller")
