"""The panel's signature under its orders. Only the worker may read the private key; the web process never does."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from hosts.public_key import fingerprint, in_groups, public_key_text
from virtnet.envelope import seal
from virtnet.messages import Order, Ping, Verdict


class UnusableKey(Exception):
    """The signing key cannot be used; the sentence says why and what to do."""


@dataclass(frozen=True)
class Signer:
    """Seals what goes to the hosts."""

    key: Ed25519PrivateKey

    def seal(self, message: Order | Ping | Verdict) -> str:
        return seal(message, "order", key=fingerprint(self.key.public_key()), sign=self.key.sign)


def make_signing_key(private: Path, public: Path) -> str:
    """Writes a new key and its public half; gives the fingerprint in groups. FileExistsError when one is there."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    # O_EXCL with the mode at birth: there is no moment at which another user could read it.
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    public.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    public.write_text(public_key_text(key.public_key()) + "\n")
    return in_groups(fingerprint(key.public_key()))


def load_signer(private: Path) -> Signer:
    """Raises UnusableKey for a file that is missing, open to others, or no Ed25519 key."""
    try:
        if private.stat().st_mode & 0o077:
            raise UnusableKey(f"{private} can be read by others. Let only its owner read it: chmod 600 {private}")
        key = load_pem_private_key(private.read_bytes(), password=None)
    except OSError as error:
        raise UnusableKey(f"{private}: {error.strerror}. Make the key with: manage.py make_signing_key") from error
    except (ValueError, TypeError) as error:
        raise UnusableKey(f"{private} holds no private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey(f"{private} holds another kind of key than Ed25519")
    return Signer(key)
