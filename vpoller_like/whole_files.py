"""Files that are written whole or not at all: nobody finds one half-written.

Each is written beside its place under another name, and takes its place when it is on disk.
"""

from __future__ import annotations

import contextlib
import os
import stat

from vpoller_like.errors import ConfigError


def write_new(path: str, text: str, mode: int) -> None:
    """Write a file that was not there, with ``mode`` whatever the umask.

    Raises ``FileExistsError`` where one is there, which stays as it is, and ``ConfigError``
    where it cannot be written.
    """
    draft = _draft_of(path)
    try:
        _write(draft, text, mode)
        try:
            os.link(draft, path)  # unlike rename, it never takes another one's place
        finally:
            os.unlink(draft)
    except FileExistsError:
        raise
    except OSError as error:
        raise _unwritable(path, error) from error


def replace(path: str, text: str) -> None:
    """Write a file in the place of the one that is there, if any; it keeps that one's mode.

    By root's hand it belongs to whom that one did; a first one has mode 0644. Raises
    ``ConfigError`` where it cannot be written.
    """
    draft = _draft_of(path)
    try:
        before = os.stat(path) if os.path.exists(path) else None
        mode = 0o644 if before is None else stat.S_IMODE(before.st_mode)
        _write(draft, text, mode, before)
        os.replace(draft, path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _draft_of(path: str) -> str:
    return f"{path}.{os.getpid()}.new"


def _write(path: str, text: str, mode: int, replaced: os.stat_result | None = None) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # of a process of this id that was killed
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        if replaced is not None and os.geteuid() == 0:
            os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _unwritable(path: str, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write {path}: {error.strerror}")
