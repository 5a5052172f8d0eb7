"""The key that the passwords of the database are encrypted with: AES-256-GCM.

A password belongs to its host: put under another host's name, it is no longer readable.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
from typing import Any

from vpoller_like.agent import hide_from_now_on
from vpoller_like.errors import ConfigError
from workers.vsphere.hosts import private

_KEY_BYTES = 32
_NONCE_BYTES = 12
#: What a password is authenticated with, before its host's name.
_PURPOSE = b"vpoller vsphere host password 1\0"


class KeyFile:
    """The key in the file ``path``, which is for its owner alone (mode 0600)."""

    def __init__(self, path: str) -> None:
        self.path = path

    def exists(self) -> bool:
        """Say whether there is a key."""
        return os.path.lexists(self.path)

    def make(self) -> None:
        """Make a key, unless there is one; raise ``ConfigError`` where it cannot be written."""
        if self.exists():
            return
        text = base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n"
        try:
            with contextlib.suppress(FileExistsError):
                private.write_new(self.path, text)
        except OSError as error:
            raise ConfigError(f"key_file: cannot write {self.path}: {error.strerror}") from error

    def encrypt(self, host: str, password: str) -> bytes:
        """Return ``password`` for the database; raise ``ConfigError`` for the key."""
        nonce = os.urandom(_NONCE_BYTES)
        data: bytes = self._cipher().encrypt(nonce, password.encode(), _bound_to(host))
        return nonce + data

    def decrypt(self, host: str, data: bytes) -> str:
        """Return the password of ``host``, from here on in no log.

        Raises ``ConfigError`` where the key cannot be read, or is not the one.
        """
        cipher = self._cipher()
        from cryptography.exceptions import InvalidTag

        try:
            plain: bytes = cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _bound_to(host))
        except (InvalidTag, ValueError):
            raise ConfigError(
                f"key_file: the password of {host} was not encrypted with {self.path}; bring "
                f"the right key back, or give the password anew (vpoller host add {host} --replace)"
            ) from None
        password = plain.decode()
        hide_from_now_on(password)
        return password

    def require(self) -> None:
        """Raise ``ConfigError`` where the key is missing, open to others, or none."""
        self._read()

    def _cipher(self) -> Any:
        # Here, as only an encrypted password needs it.
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise ConfigError(
                "an encrypted password needs the package cryptography; "
                "pip install 'vpoller-like[vsphere]' brings it"
            ) from error
        return AESGCM(self._read())

    def _read(self) -> bytes:
        try:
            key = base64.b64decode(private.read_text(self.path, "key_file").strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != _KEY_BYTES:
            raise ConfigError(
                f"key_file: {self.path} holds no key, which is 44 characters of Base64; "
                "bring it back from where you keep a copy"
            )
        return key


def _bound_to(host: str) -> bytes:
    return _PURPOSE + host.encode()
