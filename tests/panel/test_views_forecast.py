"""What a person sees of the host itself before anything happens."""

from __future__ import annotations

import pytest
from django.test import Client

from hosts.models import Host
from tests.panel.factories import host_facts, make_host
from tests.panel.pages import Page
from virtnet.configuration import ConfigurationFile, LinkConfiguration
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
    for line in ("-link eth1 52:54:00:aa:00:02", "+link br0 type bridge 52:54:00:aa:00:02", "+link eth1 master br0"):
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


def test_the_form_shows_each_file_that_makes_the_bridge_last(operator_client: Client) -> None:
    interfaces = ConfigurationFile(path="/etc/network/interfaces", text="auto eth1\niface eth1 inet manual\n")
    configuration = LinkConfiguration(link="eth1", owner="ifupdown", files=(interfaces,))
    make_host("kvm1", facts=host_facts().model_copy(update={"configurations": (configuration,)}))
    page = previewed(operator_client, uplink="eth1", lasts="on")
    assert "/etc/network/interfaces" in page.words
    assert "-iface eth1 inet manual" in page.text
    assert [given["class"] for tag, given in page.tags if tag == "pre" and "diff" in given.get("class", "")] == [
        "document diff"
    ] * 3
