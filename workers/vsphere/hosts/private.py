"""Files that are for nobody else: passwords, the key, the database of hosts."""

from __future__ import annotations

import contextlib
import os
import stat

from vpoller_like.errors import ConfigError

#: Characters of the longest text that is read; a password or a key is far shorter.
_LONGEST = 65536


def read_text(path: str, setting: str) -> str:
    """Return what is in the file ``path``; ``setting`` is what errors begin with.

    Of a large file it is the first 65,536 characters, which are more than anybody can use.
    Raises ``ConfigError`` where it cannot be read, is no text or is open to others.
    """
    try:
        with open(os.path.expanduser(path), encoding="utf-8", opener=_open_at_once) as file:
            require_private(os.fstat(file.fileno()), path, setting)
            return file.read(_LONGEST)
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{setting}: {path} is not UTF-8 text; write it anew") from None


def require_private(found: os.stat_result, path: str, setting: str) -> None:
    """Raise ``ConfigError`` where ``stat`` has ``found`` no file, or one open to others."""
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{setting}: {path} is no regular file; name one")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{setting}: {path} is open to others (mode {stat.S_IMODE(found.st_mode):04o}); "
            f"chmod 600 {path}"
        )


def write_new(path: str, data: bytes) -> None:
    """Make the file ``path`` with mode 0600; its directory too, with mode 0700.

    By root's hand it belongs to whom the directory does, as a service's does. Raises
    ``FileExistsError`` where one is there, which is whole then, and other ``OSError``.
    """
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, mode=0o700, exist_ok=True)
    draft = f"{path}.{os.getpid()}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)  # of a process of this id that was killed
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            _give(descriptor, folder)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)  # unlike rename, it never takes another one's place
    finally:
        os.unlink(draft)


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; of a pipe, do not wait for somebody who writes into it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _give(descriptor: int, folder: str) -> None:
    if os.geteuid() == 0:
        keeper = os.stat(folder)
        os.fchown(descriptor, keeper.st_uid, keeper.st_gid)
    os.fchmod(descriptor, 0o600)  # whatever the umask
