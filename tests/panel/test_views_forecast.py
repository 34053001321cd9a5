"""What a person sees of the host itself before anything happens."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from django.test import Client

from hosts.models import Host
from networks.models import Change, Network
from tests.panel.factories import host_facts, make_host
from tests.panel.pages import Page
from virtnet.configuration import ConfigurationFile, LinkConfiguration
from virtnet.facts import HostFacts, NetworkFacts
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


def test_the_form_says_what_may_cut_the_host_off_and_who_hangs_on_it(operator_client: Client) -> None:
    make_host("kvm1", facts=host_facts().model_copy(update={"way_to_panel": "eth0"}))
    page = previewed(operator_client, uplink="eth0")
    assert (
        "This could cut the host off eth0 carries the way to the panel. 1 guest hangs on it: web. "
        "1 network hangs on it: default." in page.words
    )
    assert "The host puts itself back unless you keep the change within 60 s." in page.words
    assert "Way to the panel eth0 Default route eth0" in page.words
    assert "Left out here: the bridge gets the settings of eth0" in page.words
    assert "+address 10.77.0.11/24 dev br0" in page.text
    assert "-route default via 10.77.0.1 dev eth0" in page.text


def test_a_second_uplink_without_stp_is_refused_at_its_field(operator_client: Client, host: Host) -> None:
    page = previewed(operator_client, uplink="eth0", second_uplink="eth1", forward_delay="15")
    assert "eth0 and eth1 in one LAN are a loop without STP" in page.words
    assert "Turn STP on, or leave the second uplink empty." in page.words
    assert any(given.get("id") == "id_stp_errors" for _, given in page.tags)


def test_the_window_of_a_bridge_with_stp_is_said_as_it_will_be(operator_client: Client) -> None:
    make_host("kvm1", facts=host_facts().model_copy(update={"way_to_panel": "eth0"}))
    two = {"uplink": "eth0", "second_uplink": "eth1", "stp": "on"}
    for delay, window, mute in (("15", 90, 30), ("4", 68, 8)):
        words = previewed(operator_client, **two, forward_delay=delay).words
        assert f"unless you keep the change within {window} s." in words
        assert f"With STP the host may not answer for up to {mute} s of these." in words


def test_a_host_that_waits_otherwise_says_so(operator_client: Client) -> None:
    make_host("kvm1", facts=host_facts().model_copy(update={"way_to_panel": "eth0", "confirm_seconds": 300.0}))
    assert "unless you keep the change within 300 s." in previewed(operator_client, uplink="eth0").words


def test_a_bridge_that_is_to_be_another_is_shown_before_and_after_with_its_window(operator_client: Client) -> None:
    host = on_a_bridge(Bridge(name="lan", bridge="br0", uplink="eth0", lasts=False))
    network = Network.objects.get(host=host, name="lan")
    path = f"/networks/{network.pk}/edit/"
    typed = {"bridge": "br0", "uplink": "eth0", "second_uplink": "eth1", "forward_delay": "4"}
    words = Page(operator_client.post(path, typed | {"step": "preview"})).words
    assert "Turn STP on, or leave the second uplink empty." in words
    page = Page(operator_client.post(path, typed | {"stp": "on", "step": "preview"}))
    assert "This could cut the host off br0 carries the way to the panel." in page.words
    assert "unless you keep the change within 68 s." in page.words
    assert "+link eth1 master br0" in page.text
    assert "ip link set br0 type bridge forward_delay 400 stp_state 1" in page.text
    operator_client.post(path, typed | {"stp": "on", "step": "ask"})
    change = Change.objects.get(network=network)
    assert change.action["spec"]["second_uplink"] == "eth1"


def test_another_mtu_is_foreseen_under_the_guard_and_refused_at_its_field(operator_client: Client) -> None:
    host = on_a_bridge(Bridge(name="lan", bridge="br0", uplink="eth0", lasts=False))
    network = Network.objects.get(host=host, name="lan")
    path, typed = f"/networks/{network.pk}/edit/", {"bridge": "br0", "uplink": "eth0", "step": "preview"}
    page = Page(operator_client.post(path, typed | {"mtu": "9000"}))
    assert "This could cut the host off br0 carries the way to the panel." in page.words
    assert "ip link set eth0 mtu 9000; ip link set br0 mtu 9000" in page.text
    assert re.search(r"\+link br0 type bridge \S+ mtu 9000 up", page.text)
    page = Page(operator_client.post(path, typed | {"mtu": "100"}))
    assert any(given.get("id") == "id_mtu_errors" for _, given in page.tags)
    operator_client.post(path, typed | {"mtu": "9000", "step": "ask"})
    assert Change.objects.get(network=network).action["spec"]["mtu"] == 9000


def test_taking_away_a_bridge_that_carries_the_host_says_the_same(operator_client: Client) -> None:
    host = on_a_bridge(Bridge(name="lan", bridge="br0", uplink="eth0", lasts=False))
    network = Network.objects.get(host=host, name="lan")
    page = Page(operator_client.get(f"/networks/{network.pk}/undefine/"))
    assert "This could cut the host off br0 carries the way to the panel." in page.words
    assert "+address 10.77.0.11/24 dev eth0" in page.text


def on_a_bridge(spec: Bridge) -> Host:
    """A host whose eth0 is in the bridge br0, which the panel made for the network lan."""
    identity = UUID(int=7)
    ref = NetworkRef(name="lan", uuid=identity)
    facts = host_facts()
    eth0 = next(link for link in facts.links if link.name == "eth0")
    br0 = eth0.model_copy(
        update={"name": "br0", "kind": "bridge", "made_for": identity, "made_with": "eth0", "stp": False}
    )
    lan = NetworkFacts(
        name="lan", uuid=identity, active=True, mode="bridge", bridge="br0",
        spec=spec.model_dump_json(), xml=spec.libvirt_xml(ref),
    )  # fmt: skip
    others = [link for link in facts.links if link.name not in {"br0", "eth0"}]
    links = (br0, eth0.model_copy(update={"addresses": (), "master": "br0"}), *others)
    routes = tuple(route.model_copy(update={"dev": "br0"}) for route in facts.routes)
    host = make_host(
        "kvm1",
        facts=facts.model_copy(update={"links": links, "routes": routes, "networks": (lan,), "way_to_panel": "br0"}),
    )
    Network.objects.filter(host=host, name="lan").update(spec=spec.model_dump(mode="json"))
    return host
