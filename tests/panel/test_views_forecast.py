"""What a person sees of the host itself before anything happens."""

from __future__ import annotations

import pytest
from django.test import Client

from hosts.models import Host
from tests.panel.pages import Page
from virtnet.facts import HostFacts
from virtnet.modes.bridge import Bridge
from virtnet.refs import NetworkRef
from virtnet.spec import Problem
from virtnet.text import text

NEW = "/hosts/kvm1/networks/new/bridge/"


def previewed(client: Client, **values: str) -> Page:
    return Page(client.post(NEW, {"name": "lan", "bridge": "br0", "uplink": "", "step": "preview"} | values))


def test_the_form_shows_what_changes_on_the_host_itself(operator_client: Client, host: Host) -> None:
    page = previewed(operator_client, uplink="eth1")
    assert "What changes on the host itself Way to the panel – Default route eth0" in page.words
    lines = [
        "-link eth1 52:54:00:aa:00:02 mtu 1500 up sriov_numvfs 0",
        "+link br0 type bridge 52:54:00:aa:00:02 mtu 1500 up",
    ]
    for line in [*lines, "+link eth1 master br0 52:54:00:aa:00:02 mtu 1500 up sriov_numvfs 0"]:
        assert line in page.text
    assert "could cut the host off" not in page.words


def test_a_form_that_changes_nothing_of_the_host_says_nothing_about_it(operator_client: Client, host: Host) -> None:
    page = Page(operator_client.get("/hosts/kvm1/networks/new/nat/"))
    assert "What will be done on the host" in page.words
    assert "What changes on the host itself" not in page.words


def test_notes_are_shown_before_anything_happens_and_stand_in_nobody_s_way(
    operator_client: Client, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = Problem(text=text("Docker drops packets on %(bridge)s.", bridge="br0"), fix=text("Allow them."))

    def notes(self: Bridge, facts: HostFacts, ref: NetworkRef) -> list[Problem]:
        return [note]

    monkeypatch.setattr(Bridge, "notes", notes)
    page = previewed(operator_client, uplink="eth1")
    assert "Good to know before Docker drops packets on br0. Allow them." in page.words
    answer = operator_client.post(NEW, {"name": "lan", "bridge": "br0", "uplink": "eth1", "step": "ask"}, follow=True)
    assert "Docker drops packets on br0. Allow them." in Page(answer).words
