"""The main job, as a person does it: a NAT network on one host, a host-only network on another, a guest on each.

Who reaches whom is then measured with packets from inside the guests.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest
from playwright.sync_api import Page, expect

from lab import LabGuest, LabHost
from lab.panel import LabPanel
from tests.lab.pings import before_long

pytestmark = [pytest.mark.lab, pytest.mark.browser]

LEASE_SHOWN = 30_000  # ms: a bridge forwards after 4 s, dnsmasq pings for 3 s, the guest is emulated


def test_a_guest_on_a_nat_network_reaches_out_and_is_not_reached(page: Page, panel: LabPanel) -> None:
    host = panel.lab.hosts[0]
    guest = host.guests[0]
    make_network(page, host, "nat", name="office", gateway="192.168.77.1/24", last="192.168.77.200")
    address = plug_in(page, host, guest, "office")

    assert address in IPv4Interface("192.168.77.1/24").network
    assert before_long(reaches, guest, panel.lab.internet.address), "Internet"
    assert before_long(reaches, guest, IPv4Address("192.168.77.1")), "host"
    assert before_long(reaches, guest, panel.lab.client.address), "LAN"
    assert seen_as(panel, guest) == host.address, "the LAN sees the host's address, not the guest's"

    # The LAN is told the way to the guests, so that only the firewall is left to refuse.
    panel.lab.client.run(["ip", "route", "add", "192.168.77.0/24", "via", str(host.address)])
    ping = panel.lab.client.run(["ping", "-c", "3", "-W", "1", str(address)], check=False)
    assert ping.returncode == 1, ping.stdout


def test_guests_on_a_host_only_network_reach_each_other_and_the_host_only(page: Page, panel: LabPanel) -> None:
    host = panel.lab.hosts[1]
    first, second = host.guests
    make_network(page, host, "host-only", name="tier", host_address="192.168.88.1/24", last="192.168.88.200")
    plug_in(page, host, first, "tier")
    other = plug_in(page, host, second, "tier")

    assert before_long(reaches, first, IPv4Address("192.168.88.1")), "host"
    assert before_long(reaches, first, other), "other guest"
    # The guest is told the way out, so that only the host is left to refuse.
    assert first.run("ip route add default via 192.168.88.1") == (0, "")
    assert not reaches(first, panel.lab.internet.address), "Internet"
    assert not reaches(first, panel.lab.client.address), "LAN"


def test_the_network_page_shows_the_lease_and_the_guest(page: Page, panel: LabPanel) -> None:
    guest = panel.lab.hosts[0].guests[0]
    page.goto("/hosts/hosta/")
    page.get_by_role("link", name="office").first.click()
    leases = page.locator("section", has=page.get_by_role("heading", name="Leases"))
    expect(leases).to_contain_text(str(guest.addresses()[0].ip))
    expect(page.get_by_role("link", name=guest.name).first).to_be_visible()


def test_a_card_is_unplugged_and_the_network_undefined(page: Page, panel: LabPanel) -> None:
    host = panel.lab.hosts[0]
    guest = host.guests[0]
    page.goto(f"/hosts/{host.name}/guests/{guest.uuid}/")
    page.get_by_role("link", name="Unplug").click()
    page.get_by_role("button", name="Unplug").click()
    wait_until_applied(page)
    assert guest.addresses() == []

    page.goto(f"/hosts/{host.name}/")
    page.get_by_role("link", name="office").first.click()
    page.get_by_role("link", name="Undefine").click()
    page.get_by_role("button", name="Undefine").click()
    wait_until_applied(page)
    assert "office" not in [network.name() for network in host.libvirt().listAllNetworks()]
    assert "192.168.77" not in host.run(["nft", "list", "ruleset"]).stdout


def test_the_audit_log_tells_who_did_what(page: Page) -> None:
    page.goto("/audit/")
    log = page.get_by_role("table")
    for told in ("admin", "office", "tier", "hosta", "hostb", "applied"):
        expect(log).to_contain_text(told)


def make_network(page: Page, host: LabHost, mode: str, *, last: str, **fields: str) -> None:
    page.goto(f"/hosts/{host.name}/networks/new/{mode}/")
    subnet = last.rpartition(".")[0]
    for name, value in {**fields, "first_lease": f"{subnet}.10", "last_lease": last}.items():
        page.locator(f"[name={name}]").fill(value)
    page.get_by_role("button", name="Make the network").click()
    wait_until_applied(page)


def plug_in(page: Page, host: LabHost, guest: LabGuest, network: str) -> IPv4Address:
    """Plugs a card in; the address is read off the guest's page, and is the one that the guest has."""
    page.goto(f"/hosts/{host.name}/guests/{guest.uuid}/")
    page.get_by_role("link", name="Plug in a card").click()
    page.locator(f"input[name=source][value='network:{network}']").check()
    page.get_by_role("button", name="Plug it in").click()
    wait_until_applied(page)
    page.goto(f"/hosts/{host.name}/guests/{guest.uuid}/")
    cards = page.locator("section", has=page.get_by_role("heading", name="Cards"))
    row = cards.get_by_role("row").filter(has=page.get_by_role("link", name=network))
    expect(row).to_contain_text("(lease)", timeout=LEASE_SHOWN)
    address = guest.wait_address().ip
    expect(row).to_contain_text(str(address))
    return address


def wait_until_applied(page: Page) -> None:
    page.wait_for_url("**/changes/*/")
    expect(page.locator("#progress")).to_contain_text("applied", timeout=20_000)


def reaches(guest: LabGuest, address: IPv4Address) -> bool:
    status, _ = guest.run(f"ping -c 2 -W 2 {address}")
    return status == 0


def seen_as(panel: LabPanel, guest: LabGuest) -> IPv4Address:
    """The address that a LAN machine sees when the guest opens a TCP connection to it."""
    server = panel.lab.client.popen(
        [
            "python3",
            "-c",
            "import socket; s = socket.create_server(('', 7000)); print('up', flush=True);"
            "print(s.accept()[1][0], flush=True)",
        ],
        stdout=-1,
        text=True,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == "up\n"
    guest.run(f"nc -w 3 {panel.lab.client.address} 7000 </dev/null")
    return IPv4Address(server.stdout.readline().strip())
