"""The signed envelope. What is signed is the exact text that travels, so no two sides can differ about a canonical
form.

The signature itself is a callable (Ed25519PrivateKey.sign, Ed25519PublicKey.verify of `cryptography`): this package
stays free of it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

LARGEST = 4_000_000  # bytes of an envelope; the facts of a host with hundreds of guests take about 1 MB

Purpose = Literal["order", "report"]
Signed = TypeVar("Signed", bound=BaseModel)


class EnvelopeError(ValueError):
    """Not an envelope of ours: too large, malformed, or of another purpose."""


class Envelope(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    purpose: Purpose
    key: Annotated[str, Field(max_length=64)]  # fingerprint of the key that signed
    body: str  # JSON
    signature: Annotated[str, Field(max_length=100)]  # base64

    def signed_bytes(self) -> bytes:
        return signed_bytes(self.purpose, self.body)


def signed_bytes(purpose: Purpose, body: str) -> bytes:
    """What is signed. The purpose is part of it, so that a report can never be taken for an order."""
    return f"kvmpanel-{purpose}-v1\0{body}".encode()


def seal(message: BaseModel, purpose: Purpose, *, key: str, sign: Callable[[bytes], bytes]) -> str:
    """The envelope as JSON text."""
    body = message.model_dump_json()
    signature = base64.b64encode(sign(signed_bytes(purpose, body))).decode()
    return Envelope(purpose=purpose, key=key, body=body, signature=signature).model_dump_json()


def unseal(
    sealed: str | bytes,
    kind: type[Signed],
    purpose: Purpose,
    *,
    verify: Callable[[bytes, bytes], None],
    key: str | None = None,
) -> Signed:
    """The message, once its signature holds. `verify(signature, data)` raises its own error when it does not.

    `key` is the fingerprint that the envelope must name, where the reader knows it: the name is not signed.

    Raises EnvelopeError for what is no envelope, pydantic's ValidationError (a ValueError) for a signed body that is
    not a `kind`.
    """
    if len(sealed) > LARGEST:
        raise EnvelopeError(f"larger than {LARGEST} bytes")
    try:
        envelope = Envelope.model_validate_json(sealed)
        signature = base64.b64decode(envelope.signature, validate=True)
    except (ValueError, binascii.Error) as error:
        raise EnvelopeError("not an envelope") from error
    # Several texts decode to the same bytes; only the one that seal() writes is taken.
    if base64.b64encode(signature).decode() != envelope.signature:
        raise EnvelopeError("not an envelope")
    if envelope.purpose != purpose:
        raise EnvelopeError(f"sealed as {envelope.purpose}, not as {purpose}")
    verify(signature, envelope.signed_bytes())
    if key is not None and envelope.key != key:
        raise EnvelopeError("names another key than the one that signed it")
    return kind.model_validate_json(envelope.body)
