from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Network, ip_interface

import pytest
from pydantic import ValidationError

from tests.virtnet.samples import NAT, OFFICE, WEB, guest, host, host_with, link, network, office
from virtnet.facts import HostFacts, InterfaceFacts
from virtnet.link_facts import Link, Route


def test_the_digest_is_the_same_over_the_wire() -> None:
    facts = host(networks=(office(NAT),), domains=(guest(networks=("office",)),))
    again = HostFacts.model_validate_json(facts.model_dump_json())
    assert again == facts
    assert again.digest() == facts.digest()


def test_the_digest_is_another_when_anything_is() -> None:
    digests = {
        host().digest(),
        host(hostname="kvm2").digest(),
        host(iommu=False).digest(),
        host_with(link("eth1", up=True)).digest(),
        host(networks=(network("lab", "nat"),)).digest(),
        host(networks=(network("lab", "route"),)).digest(),
        HostFacts().digest(),
    }
    assert len(digests) == 7
    assert all(len(digest) == 64 for digest in digests)


def test_uplinks_are_cards_and_what_may_lead_out_and_never_what_libvirt_made() -> None:
    facts = host_with(
        link("bond0", kind="bond"),
        link("eth0.7", kind="vlan"),
        link("veth3", kind="veth"),
        link("dummy0", kind="dummy"),
        link("macvtap0", kind="macvtap"),
        link("virbr0", kind="bridge"),
        link("odd-tap"),
        domains=(
            guest().model_copy(
                update={"interfaces": (InterfaceFacts(mac="52:54:00:00:00:01", type="direct", target="odd-tap"),)}
            ),
        ),
    )
    assert facts.uplinks == (
        *("eth0", "eth1", "eth2", "ens1f0", "ens1f0v0", "wlan0"),
        *("bond0", "eth0.7", "veth3"),
    )


def test_bridges_come_with_their_ports() -> None:
    assert host_with(link("virbr0", kind="bridge")).bridges == {"br0": ("eth2", "vnet0"), "virbr0": ()}


def test_pfs_come_with_their_greatest_number_of_vfs() -> None:
    assert host().pfs == {"ens1f0": 8}


def test_the_default_route_is_the_one_with_the_lowest_metric() -> None:
    def way_out(dev: str, metric: int | None) -> Route:
        return Route(dst=IPv4Network("0.0.0.0/0"), dev=dev, metric=metric)

    assert host(routes=(way_out("wlan0", 600), way_out("eth0", 100))).default_route_dev == "eth0"
    assert host(routes=(way_out("wlan0", 600), way_out("eth0", None))).default_route_dev == "eth0"
    assert host(routes=(Route(dst=IPv6Network("::/0"), dev="eth0"),)).default_route_dev is None


def test_what_is_there_is_found_and_nothing_else() -> None:
    facts = host(networks=(office(NAT),), domains=(guest(),))
    found = facts.network("office")
    assert found is not None
    assert found.uuid == OFFICE.uuid
    assert found.managed
    assert facts.network("lab") is None
    assert facts.domain(WEB.uuid) == guest()
    assert facts.domain(OFFICE.uuid) is None
    assert facts.link("nope") is None


@pytest.mark.parametrize("name", ["..", "a\nb", "😀", "x" * 1024, "<script>", "%(x)s"])
def test_nobody_s_odd_name_is_refused(name: str) -> None:
    facts = HostFacts(links=(link(name, kind="bridge"),), networks=(network(name, "open", bridge=name),))
    assert HostFacts.model_validate_json(facts.model_dump_json()) == facts


def test_what_has_no_name_at_all_is_refused() -> None:
    with pytest.raises(ValidationError):
        link("")
    with pytest.raises(ValidationError):
        network("", "nat")
    with pytest.raises(ValidationError):
        guest(name="")


def test_only_a_running_guest_runs() -> None:
    assert [state for state in ("running", "shut off", "paused", "") if guest(state=state).running] == ["running"]


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ValidationError):
        Link.model_validate({"name": "eth0", "index": 1, "colour": "red"})


def test_addresses_keep_host_and_prefix() -> None:
    one = link("eth0", addresses=(IPv4Interface("10.0.0.5/24"), ip_interface("2001:db8::5/64")))
    again = Link.model_validate_json(one.model_dump_json())
    assert [str(address) for address in again.addresses] == ["10.0.0.5/24", "2001:db8::5/64"]
