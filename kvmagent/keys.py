"""The host's own key, made on the host and never leaving it, and the panel's pinned public key. Both are Ed25519."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key


class UnusableKey(ValueError):
    """Not a key of ours; the sentence says which and why."""


def make_host_key(path: Path) -> Ed25519PrivateKey:
    """A new key in a file that only its owner can read. Raises FileExistsError rather than replace one."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # O_EXCL with the mode at birth: there is no moment at which another user could read it.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return key


def load_host_key(path: Path) -> Ed25519PrivateKey:
    """Raises FileNotFoundError, and UnusableKey for a file that is no Ed25519 key."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise UnusableKey(f"{path} holds no private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey(f"{path} holds another kind of key than Ed25519")
    return key


def public_key_text(key: Ed25519PublicKey) -> str:
    """The raw 32 bytes in base64, as enrolment sends them."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def public_key_from_text(text: str) -> Ed25519PublicKey:
    """Raises UnusableKey for anything that is not 32 bytes in base64."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        raise UnusableKey("a public key is 32 bytes in base64") from error


def fingerprint(key: Ed25519PublicKey) -> str:
    """Hex SHA-256 of the raw public key, e.g. for the `key` of an envelope: 64 characters."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def in_groups(fingerprint: str) -> str:
    """A fingerprint as people compare it: 16 groups of four characters."""
    return " ".join(fingerprint[start : start + 4] for start in range(0, len(fingerprint), 4))
