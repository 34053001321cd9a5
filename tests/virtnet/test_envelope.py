from __future__ import annotations

import base64
import json
import random
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ValidationError

from virtnet.envelope import LARGEST, EnvelopeError, Purpose, seal, unseal
from virtnet.messages import Ping

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PING = Ping(ping=UUID(int=1), host=UUID(int=2), nonce="n-1 😀")
REFUSALS = (EnvelopeError, InvalidSignature, ValidationError)


def sealed(message: BaseModel = PING, purpose: Purpose = "order") -> str:
    return seal(message, purpose, key="k1", sign=KEY.sign)


def opened(text: str | bytes, *, key: Ed25519PrivateKey = KEY, purpose: Purpose = "order") -> Ping:
    return unseal(text, Ping, purpose, verify=key.public_key().verify, key="k1")


def changed(**fields: str) -> str:
    return json.dumps(json.loads(sealed()) | fields)


def test_what_was_sealed_is_unsealed() -> None:
    assert opened(sealed()) == PING
    assert opened(sealed().encode()) == PING


def test_any_bit_flip_is_refused() -> None:
    original = sealed().encode()
    flips = [(position, bit) for position in range(len(original)) for bit in range(8)]
    accepted = []
    for position, bit in random.Random(17).sample(flips, 1000):
        flipped = bytearray(original)
        flipped[position] ^= 1 << bit
        try:
            opened(bytes(flipped))
        except REFUSALS:
            continue
        accepted.append((position, bit))
    assert accepted == []


def test_the_name_of_another_key_is_refused() -> None:
    with pytest.raises(EnvelopeError, match="names another key"):
        opened(changed(key="k2"))


def test_another_s_key_does_not_open_it() -> None:
    with pytest.raises(InvalidSignature):
        opened(sealed(), key=OTHER_KEY)


def test_a_report_is_never_taken_for_an_order() -> None:
    with pytest.raises(EnvelopeError, match="sealed as report, not as order"):
        opened(sealed(purpose="report"))
    with pytest.raises(InvalidSignature):
        opened(changed(purpose="report"), purpose="report")


def test_another_body_or_signature_is_refused() -> None:
    body = PING.model_copy(update={"nonce": "n-2"}).model_dump_json()
    with pytest.raises(InvalidSignature):
        opened(changed(body=body))
    with pytest.raises(InvalidSignature):
        opened(changed(signature=base64.b64encode(bytes(64)).decode()))


def test_a_well_signed_body_of_another_kind_is_refused() -> None:
    class Other(BaseModel):
        power: int = 1

    with pytest.raises(ValidationError):
        opened(sealed(Other()))


@pytest.mark.parametrize(
    "rubbish",
    ["", "{}", "null", "[]", "\0", "x" * 100, '{"purpose":"order"}', b"\xff\xfe", '{"a":' * 5000, "1e999"],
)
def test_rubbish_is_no_envelope(rubbish: str | bytes) -> None:
    with pytest.raises(EnvelopeError, match="not an envelope"):
        opened(rubbish)


@pytest.mark.parametrize("fields", [{"signature": "é"}, {"signature": "!!!!"}, {"extra": "1"}, {"purpose": "party"}])
def test_a_malformed_envelope_is_none(fields: dict[str, str]) -> None:
    with pytest.raises(EnvelopeError, match="not an envelope"):
        opened(changed(**fields))


def test_an_envelope_larger_than_the_largest_is_not_even_read() -> None:
    with pytest.raises(EnvelopeError, match="larger than"):
        opened(" " * (LARGEST + 1))
