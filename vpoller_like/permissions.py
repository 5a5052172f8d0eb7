"""Who can touch a file: a secret is for its owner alone, and nobody else writes what decides.

Each of these judges what ``stat`` has ``found`` at a path and raises ``ConfigError`` with what
mends it. Ask for the ``fstat`` of the file that is open: what is read is then what is judged.
"""

from __future__ import annotations

import os
import stat

from vpoller_like.errors import ConfigError


def require_closed(found: os.stat_result, path: str) -> None:
    """Raise where others may read the secret at ``path``."""
    # Root reads the secrets of those whom it runs programs as.
    if os.geteuid() != 0:
        _require_own(found, path)
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"{path} is a secret and open to others (mode {mode:04o}); "
            f"close it with `chmod 600 {path}`, and make a new key if somebody may have read it"
        )


def require_unwritable(found: os.stat_result, path: str, effect: str) -> None:
    """Raise where others can write the file at ``path``; ``effect`` says what it does."""
    # What is in a user's own directory is that user's, and root may keep it for him.
    keeper = os.stat(os.path.dirname(path)).st_uid if os.geteuid() == 0 else 0
    _require_own(found, path, keeper)
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        raise ConfigError(
            f"{path} {effect} and others can write it (mode {mode:04o}); "
            f"close it with `chmod 644 {path}`"
        )


def require_safe_place(found: os.stat_result, folder: str, effect: str) -> None:
    """Raise where others could put files of theirs into ``folder`` in the place of ours.

    ``effect`` says which file there does what.
    """
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise ConfigError(
            f"others can replace what is in {folder} (mode {mode:04o}), and {effect}; "
            f"close it with `chmod go-w {folder}`"
        )


def _require_own(found: os.stat_result, path: str, keeper: int = 0) -> None:
    if found.st_uid not in (0, os.geteuid(), keeper):
        raise ConfigError(
            f"{path} belongs to another user (uid {found.st_uid}), who can change it; "
            f"give it to the user that runs this, with `chown`"
        )
