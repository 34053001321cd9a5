"""The modes explained, from the modes themselves."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.panel.pages import Page
from virtnet.modes import MODES

pytestmark = pytest.mark.django_db


def words_of(client: Client, path: str) -> str:
    return Page(client.get(path)).words


def test_it_compares_every_mode_and_every_choice_in_it(viewer_client: Client) -> None:
    words = words_of(viewer_client, "/modes/")
    for mode in MODES.values():
        for example in mode.examples():
            answers = " ".join(answer.reachable for _, answer in example.reachability().rows())
            assert f"{example.title()} {answers} {example.performance}" in words


@pytest.mark.parametrize("mode", MODES)
def test_it_explains_a_mode_with_its_reasons(viewer_client: Client, mode: str) -> None:
    words = words_of(viewer_client, f"/modes/{mode}/")
    spec_class = MODES[mode]
    for sentence in (spec_class.how, spec_class.suits, *spec_class.good, *spec_class.bad):
        assert str(sentence) in words
    for example in spec_class.examples():
        for _, answer in example.reachability().rows():
            assert str(answer.because) in words
    for command in spec_class.by_hand:
        assert command in words


def test_its_picture_is_read_aloud(viewer_client: Client) -> None:
    labels = [given.get("aria-label") for tag, given in Page(viewer_client.get("/modes/nat/")).tags if tag == "svg"]
    assert "guest → tap → virbr → host → uplink → LAN → Internet" in labels


def test_there_is_no_other_mode(viewer_client: Client) -> None:
    assert viewer_client.get("/modes/token-ring/").status_code == 404


@pytest.mark.parametrize("path", ["/modes/", "/modes/nat/"])
def test_it_refuses_who_has_no_role(stranger_client: Client, client: Client, path: str) -> None:
    assert stranger_client.get(path).status_code == 403
    assert client.get(path).status_code == 302


def test_it_is_for_reading(operator_client: Client) -> None:
    assert operator_client.post("/modes/").status_code == 405
    assert operator_client.post("/modes/nat/").status_code == 405
