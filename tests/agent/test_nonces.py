"""A nonce is good for 120 s of the host's own clock, for any number of orders."""

from __future__ import annotations

from kvmagent.nonces import Nonces


class Clock:
    seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


def test_a_nonce_is_accepted_again_and_again_for_120_seconds() -> None:
    clock = Clock()
    nonces = Nonces(clock)
    nonce = nonces.fresh()
    clock.seconds += 119
    assert nonces.accepts(nonce)
    assert nonces.accepts(nonce)
    clock.seconds += 1
    assert not nonces.accepts(nonce)


def test_older_nonces_stay_good_when_newer_ones_come() -> None:
    clock = Clock()
    nonces = Nonces(clock)
    published = []
    for _ in range(12):
        published.append(nonces.fresh())
        clock.seconds += 9.9
    assert len(set(published)) == 12
    assert all(nonces.accepts(nonce) for nonce in published)


def test_nothing_is_accepted_that_was_not_published() -> None:
    nonces = Nonces()
    assert not nonces.accepts("")
    nonces.fresh()
    assert not nonces.accepts("")
    assert not nonces.accepts("é" * 22)
    assert not Nonces().accepts(nonces.fresh())


def test_only_the_nonces_of_the_last_120_seconds_are_kept() -> None:
    clock = Clock()
    nonces = Nonces(clock)
    for _ in range(1000):
        nonces.fresh()
        clock.seconds += 10
    assert len(nonces._published) <= 13
