"""Ed25519 public keys as text, and the fingerprints that people compare. The agent's kvmagent.keys says the same."""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def public_key_from_text(text: str) -> Ed25519PublicKey:
    """Raises ValueError for anything that is not 32 bytes in base64."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise ValueError("a public key is 32 bytes in base64") from error


def public_key_text(key: Ed25519PublicKey) -> str:
    """The raw 32 bytes in base64."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def fingerprint(key: Ed25519PublicKey) -> str:
    """Hex SHA-256 of the raw public key: 64 characters."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def in_groups(fingerprint: str) -> str:
    """A fingerprint as people compare it: 16 groups of four characters."""
    return " ".join(fingerprint[start : start + 4] for start in range(0, len(fingerprint), 4))
