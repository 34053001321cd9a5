"""The files that make a bridge survive a restart, whole, for each owner of a host's network."""

from __future__ import annotations

import textwrap

import pytest

from virtnet.configuration import ConfigurationFile, DhcpClient, FileChange, LinkConfiguration, Owner
from virtnet.persist import CannotLast, LastingBridge, file_changes
from virtnet.persist.marked import without_marks

MAC = "52:54:00:12:34:56"
BRIDGE = LastingBridge("br0", "eth0", mac=MAC, mtu=1500, permanent_mac=MAC)
HEADER = """\
# Made by kvmpanel's agent with the bridge br0, and taken away with it.
# What is changed here by hand is lost then.
"""


def changes(
    owner: Owner,
    files: dict[str, str],
    bridge: LastingBridge = BRIDGE,
    *,
    client: DhcpClient | None = None,
    dhcp: bool = False,
    client_id: str = "",
    route_metric: int | None = None,
) -> dict[str, FileChange]:
    """By path. files: path -> text, indented as it stands in a test."""
    configuration = LinkConfiguration(
        link="eth0",
        owner=owner,
        permanent_mac=bridge.permanent_mac or "",
        dhcp=dhcp or client is not None,
        client=client,
        client_id=client_id,
        route_metric=route_metric,
        files=tuple(ConfigurationFile(path=path, text=plain(text)) for path, text in files.items()),
    )
    return {change.path: change for change in file_changes(owner, bridge, configuration)}


def plain(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


def why_not(owner: Owner, files: dict[str, str]) -> str:
    with pytest.raises(CannotLast) as refused:
        changes(owner, files)
    return str(refused.value.text)


DEBIAN = """
    # This file describes the network interfaces available on your system
    source /etc/network/interfaces.d/*

    auto lo
    iface lo inet loopback

    # The primary network interface
    allow-hotplug eth0
    iface eth0 inet static
    \taddress 10.0.0.5/24
    \tgateway 10.0.0.1
    \t# dns-* options are implemented by the resolvconf package
    \tdns-nameservers 10.0.0.1
    \tup ip route add 10.9.0.0/16 via 10.0.0.2 dev eth0
    iface eth0 inet6 static
    \taddress 2001:db8::5/64
    """


def test_ifupdown_moves_the_stanzas_to_the_bridge_and_comments_the_uplink_s_out() -> None:
    found = changes("ifupdown", {"/etc/network/interfaces": DEBIAN})
    ours = found["/etc/network/kvmpanel-br0"]
    assert ours.before is None
    assert ours.after == HEADER + plain(
        f"""
        auto br0
        iface br0 inet static
            pre-up ip link show dev br0 >/dev/null 2>&1 || ip link add name br0 address {MAC} mtu 1500 type bridge stp_state 0 forward_delay 0
            pre-up for port in $(grep -l -i -x {MAC} /sys/class/net/*/address | cut -d / -f 5); do [ $port = br0 ] || ip link set dev $port mtu 1500 master br0 up; done
            pre-up for port in $(grep -l -i -x {MAC} /sys/class/net/*/address | cut -d / -f 5); do [ $port = br0 ] || echo 1 >/proc/sys/net/ipv6/conf/$port/disable_ipv6; done || true
            up ip link set dev br0 up
            address 10.0.0.5/24
            gateway 10.0.0.1
            dns-nameservers 10.0.0.1
            up ip route add 10.9.0.0/16 via 10.0.0.2 dev br0
        iface br0 inet6 static
            address 2001:db8::5/64
        """  # noqa: E501
    )
    main = found["/etc/network/interfaces"]
    assert main.before == plain(DEBIAN)
    assert main.after == plain(
        """
        # This file describes the network interfaces available on your system
        source /etc/network/interfaces.d/*

        auto lo
        iface lo inet loopback

        # The primary network interface
        #kvmpanel:br0# allow-hotplug eth0
        #kvmpanel:br0# iface eth0 inet static
        #kvmpanel:br0# \taddress 10.0.0.5/24
        #kvmpanel:br0# \tgateway 10.0.0.1
        \t# dns-* options are implemented by the resolvconf package
        #kvmpanel:br0# \tdns-nameservers 10.0.0.1
        #kvmpanel:br0# \tup ip route add 10.9.0.0/16 via 10.0.0.2 dev eth0
        #kvmpanel:br0# iface eth0 inet6 static
        #kvmpanel:br0# \taddress 2001:db8::5/64
        #kvmpanel:br0# added
        source /etc/network/kvmpanel-br0
        #kvmpanel:br0# end
        """
    )
    assert without_marks(main.after, "br0") == main.before


@pytest.mark.parametrize(
    "text",
    [
        "auto lo eth0 eth1\niface eth0 inet dhcp\n",
        "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet \\\n   static\n  address 10.0.0.5/24",
        "source-directory interfaces.d\nauto eth0\niface eth0 inet manual\n",
        "source interfaces.d/*\nno-auto-down eth0\nallow-hotplug eth0\niface eth0 inet manual\n",
    ],
    ids=["a list of links", "no newline at the end", "source-directory", "source"],
)
def test_ifupdown_s_main_file_is_as_before_once_our_marks_are_taken_out(text: str) -> None:
    files = {"/etc/network/interfaces": text}
    main = changes("ifupdown", files, client="dhclient")["/etc/network/interfaces"]
    assert main.after is not None
    assert without_marks(main.after, "br0") == text
    assert main.after.splitlines().count("source /etc/network/kvmpanel-br0") == 1


def test_ifupdown_keeps_the_other_links_of_a_line() -> None:
    after = changes("ifupdown", {"/etc/network/interfaces": "auto lo eth0 eth1\niface eth0 inet manual\n"})
    lines = (after["/etc/network/interfaces"].after or "").splitlines()
    assert "#kvmpanel:br0# auto lo eth0 eth1" in lines
    assert "auto lo eth1" in lines


def test_ifupdown_finds_the_stanzas_in_a_file_beside_the_main_one() -> None:
    files = {
        "/etc/network/interfaces": "source /etc/network/interfaces.d/*\n",
        "/etc/network/interfaces.d/eth0": "auto eth0\niface eth0 inet static\n  address 10.0.0.5/24\n",
    }
    found = changes("ifupdown", files)
    assert list(found) == ["/etc/network/kvmpanel-br0", "/etc/network/interfaces.d/eth0"]
    assert "    address 10.0.0.5/24\n" in (found["/etc/network/kvmpanel-br0"].after or "")


def test_ifupdown_goes_from_the_uplink_to_the_bridge_by_the_write_of_one_file() -> None:
    files = {
        "/etc/network/interfaces": "auto eth0\nsource /etc/network/interfaces.d/*\n",
        "/etc/network/interfaces.d/eth0": "iface eth0 inet static\n  address 10.0.0.5/24\n",
    }
    ours, that_one, other = changes("ifupdown", files).values()
    assert ours.before is None
    assert "source" not in (other.after or "").replace("source /etc/network/interfaces.d/*", "")
    assert that_one.path == "/etc/network/interfaces.d/eth0"
    assert "#kvmpanel:br0# iface eth0 inet static" in (that_one.after or "")
    assert f"source {ours.path}" in (that_one.after or "")


@pytest.mark.parametrize(
    "odd",
    [
        "mapping eth0\n  script /usr/local/sbin/where-am-i\n",
        "auto /eth*\niface eth0 inet manual\n",
        "auto eth0.5\niface eth0.5 inet manual\n",
        "iface vlan5 inet manual\n  vlan-raw-device eth0\n",
        "iface br7 inet dhcp\n  bridge_ports eth0 eth1\n",
        "rename mac/52:54:00:12:34:56=eth0\n",
        "iface eth0 inet dhcp\n  wpa-psk 12345678\n",
    ],
)
def test_ifupdown_refuses_what_would_have_to_be_understood(odd: str) -> None:
    assert "eth0" in why_not("ifupdown", {"/etc/network/interfaces": odd})


def test_ifupdown_leaves_cloud_init_its_file() -> None:
    text = "# This file is generated from information provided by the datasource.\nauto eth0\niface eth0 inet manual\n"
    assert "cloud-init" in why_not("ifupdown", {"/etc/network/interfaces.d/50-cloud-init": text})


def test_ifupdown_makes_a_bridge_without_an_uplink() -> None:
    alone = LastingBridge("br1")
    found = changes("ifupdown", {"/etc/network/interfaces": "source interfaces.d/*\n"}, alone)
    assert list(found) == ["/etc/network/kvmpanel-br1", "/etc/network/interfaces"]
    assert "source /etc/network/kvmpanel-br1" in (found["/etc/network/interfaces"].after or "").splitlines()
    assert (found["/etc/network/kvmpanel-br1"].after or "").endswith(
        "auto br1\n"
        "iface br1 inet manual\n"
        "    pre-up ip link show dev br1 >/dev/null 2>&1 || "
        "ip link add name br1 type bridge stp_state 0 forward_delay 0\n"
        "    up ip link set dev br1 up\n"
    )


NETWORKD = """
    [Match]
    Name=en* eth*

    [Link]
    MACAddress=52:54:00:12:34:56
    MTUBytes=9000

    [Network]
    Address=10.0.0.5/24
    DNS=10.0.0.1

    [Route]
    Gateway=10.0.0.1
    Metric=50
    """


def test_networkd_s_bridge_says_all_that_the_uplink_s_file_and_its_drop_ins_say() -> None:
    files = {
        "/etc/systemd/network/20-wired.network": NETWORKD,
        "/etc/systemd/network/20-wired.network.d/v6.conf": "[Network]\nAddress=2001:db8::5/64\n",
    }
    big = LastingBridge("br0", "eth0", mac=MAC, mtu=9000, permanent_mac="52:54:00:aa:aa:aa")
    found = changes("networkd", files, big)
    assert {path: change.after for path, change in found.items()} == {
        "/etc/systemd/network/0-kvmpanel-br0.netdev": HEADER
        + f"[NetDev]\nName=br0\nKind=bridge\nMACAddress={MAC}\nMTUBytes=9000\n\n[Bridge]\nSTP=no\nForwardDelaySec=0\n",
        "/etc/systemd/network/0-kvmpanel-br0.network": HEADER
        + "[Match]\nName=br0\n\n[Link]\nMTUBytes=9000\n\n[Network]\nAddress=10.0.0.5/24\nDNS=10.0.0.1\n\n"
        + "[Route]\nGateway=10.0.0.1\nMetric=50\n\n[Network]\nAddress=2001:db8::5/64\n",
        "/etc/systemd/network/0-kvmpanel-br0-port.network": HEADER
        + "[Match]\nPermanentMACAddress=52:54:00:aa:aa:aa\n\n[Link]\nMTUBytes=9000\n\n"
        + "[Network]\nBridge=br0\nLinkLocalAddressing=no\n",
    }


def test_networkd_s_bridge_has_its_addresses_without_a_carrier_only_once_it_has_its_port() -> None:
    wired = "[Match]\nName=eth0\n[Network]\nAddress=10.0.0.5/24\nConfigureWithoutCarrier=yes\n"
    *_, network, port, carrier = changes("networkd", {"/etc/systemd/network/20-wired.network": wired}).values()
    assert "Address=10.0.0.5/24" in (network.after or "")
    assert "Carrier" not in (network.after or "")
    assert port.path == "/etc/systemd/network/0-kvmpanel-br0-port.network"
    assert carrier.path == "/etc/systemd/network/0-kvmpanel-br0.network.d/without-carrier.conf"
    assert carrier.after == HEADER + "[Network]\nConfigureWithoutCarrier=yes\n"


def test_networkd_asks_dhcp_as_the_client_that_the_uplink_was() -> None:
    files = {"/etc/systemd/network/20-wired.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\n"}
    after = changes("networkd", files, client="networkd", client_id="ff0a0b0c0d00020000ab11")
    assert (after["/etc/systemd/network/0-kvmpanel-br0.network"].after or "").endswith("\n[DHCPv4]\nIAID=168496141\n")


def test_networkd_waits_at_the_start_for_no_bridge_without_addresses() -> None:
    after = changes("networkd", {}, LastingBridge("br1"))["/etc/systemd/network/0-kvmpanel-br1.network"].after
    assert after is not None
    assert after.endswith("[Link]\nRequiredForOnline=no\n\n[Network]\nConfigureWithoutCarrier=yes\n")


def test_networkd_refuses_an_uplink_that_carries_a_vlan() -> None:
    files = {"/etc/systemd/network/20-wired.network": "[Match]\nName=eth0\n[Network]\nVLAN=office\n"}
    assert "VLAN=office" in why_not("networkd", files)


def test_networkd_refuses_where_another_file_would_win() -> None:
    files = {"/etc/systemd/network/+eth0.network": "[Match]\nName=eth0\n[Network]\nDHCP=no\n"}
    assert "+eth0.network" in why_not("networkd", files)


NETPLAN = """
    # Let us keep this
    network:
      version: 2
      renderer: networkd
      ethernets:
        eth0:
          match:
            macaddress: "52:54:00:12:34:56"
          set-name: eth0
          addresses: [10.0.0.5/24]
          routes:
            # the way out
            - to: default
              via: 10.0.0.1
          nameservers:
              addresses:
              - 10.0.0.1
        eth1:
          dhcp4: true
    """


def test_netplan_moves_the_uplink_s_block_into_a_file_of_ours() -> None:
    found = changes("netplan", {"/etc/netplan/01-netcfg.yaml": NETPLAN})
    assert found["/etc/netplan/90-kvmpanel-br0.yaml"].after == HEADER + plain(
        f"""
        network:
          version: 2
          ethernets:
            kvmpanel-br0:
              match:
                macaddress: "{MAC}"
              set-name: eth0
              link-local: []
              dhcp4: false
              dhcp6: false
          bridges:
            br0:
              interfaces: [kvmpanel-br0]
              macaddress: "{MAC}"
              parameters:
                stp: false
                forward-delay: 0
              addresses: [10.0.0.5/24]
              routes:
                - to: default
                  via: 10.0.0.1
              nameservers:
                  addresses:
                  - 10.0.0.1
        """
    )
    former = found["/etc/netplan/01-netcfg.yaml"]
    assert former.after is not None
    assert [line for line in former.after.splitlines() if not line.startswith("#")] == [
        "network:",
        "  version: 2",
        "  renderer: networkd",
        "  ethernets:",
        "    eth1:",
        "      dhcp4: true",
    ]
    assert without_marks(former.after, "br0") == former.before


def test_netplan_takes_ethernets_out_with_its_only_block() -> None:
    text = "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n"
    after = changes("netplan", {"/etc/netplan/x.yaml": text}, client="networkd", client_id="ff0000000700020000ab11")
    assert after["/etc/netplan/x.yaml"].after == (
        "network:\n  version: 2\n"
        "#kvmpanel:br0#   ethernets:\n#kvmpanel:br0#     eth0:\n#kvmpanel:br0#       dhcp4: true\n"
    )
    drop_in = after["/etc/systemd/network/10-netplan-br0.network.d/kvmpanel.conf"].after
    assert drop_in == HEADER + "[Network]\nConfigureWithoutCarrier=no\n\n[DHCPv4]\nIAID=7\n"


@pytest.mark.parametrize("mac", [MAC, None], ids=["by MAC address", "by name"])
def test_netplan_goes_from_the_uplink_to_the_bridge_by_the_write_of_one_file(mac: str | None) -> None:
    """Before it the bridge has no port, for the card's own block is there; and without a carrier no addresses."""
    bridge = LastingBridge("br0", "eth0", mac=MAC, permanent_mac=mac)
    carrier, ours, that_one = changes("netplan", {"/etc/netplan/01-netcfg.yaml": NETPLAN}, bridge).values()
    assert carrier.path == "/etc/systemd/network/10-netplan-br0.network.d/kvmpanel.conf"
    assert carrier.after == HEADER + "[Network]\nConfigureWithoutCarrier=no\n"
    assert "\n    eth0:\n" not in (ours.after or "")
    assert "\n    kvmpanel-br0:\n      match:\n" in (ours.after or "")
    assert that_one.path == "/etc/netplan/01-netcfg.yaml"


def test_netplan_s_bridge_has_its_addresses_without_a_carrier_only_once_it_has_its_port() -> None:
    text = "network:\n  ethernets:\n    eth0:\n      ignore-carrier: true\n      addresses: [10.0.0.5/24]\n"
    first, *_, switch, last = changes("netplan", {"/etc/netplan/x.yaml": text}).values()
    assert (first.after or "").endswith("ConfigureWithoutCarrier=no\n")
    assert switch.path == "/etc/netplan/x.yaml"
    assert (last.after or "").endswith("ConfigureWithoutCarrier=yes\n")
    assert last.path > first.path  # of two drop-ins the later by name counts


def test_netplan_s_bridge_without_an_uplink_needs_no_carrier() -> None:
    found = changes("netplan", {"/etc/netplan/01-netcfg.yaml": NETPLAN}, LastingBridge("br1"))
    assert list(found) == ["/etc/netplan/90-kvmpanel-br1.yaml"]


@pytest.mark.parametrize(
    "odd",
    [
        "network: {version: 2, ethernets: {eth0: {dhcp4: true}}}\n",
        "network:\n  ethernets:\n    eth0: {dhcp4: true}\n",
        "network:\n  ethernets:\n    eth0: &card\n      dhcp4: true\n",
        "network:\n  renderer: NetworkManager\n",
        "network:\n  bridges:\n    br5:\n      interfaces: [eth0]\n",
        "network:\n  vlans:\n    vlan5:\n      link: eth0\n      id: 5\n",
        "# This file is generated by cloud-init\nnetwork:\n  ethernets:\n    eth0:\n      dhcp4: true\n",
    ],
)
def test_netplan_refuses_what_it_cannot_take_line_by_line(odd: str) -> None:
    assert "/etc/netplan/x.yaml" in why_not("netplan", {"/etc/netplan/x.yaml": odd})


KEYFILE = """
    [connection]
    id=wired
    uuid=5f1c3c0e-4c2f-4d58-9a43-6b2ad2f5d1aa
    type=ethernet
    interface-name=eth0
    zone=internal

    [ipv4]
    method=manual
    address1=10.0.0.5/24,10.0.0.1
    dns=10.0.0.1;

    [ipv6]
    method=link-local
    """
PROFILE = "/etc/NetworkManager/system-connections/wired.nmconnection"
OURS = "/etc/NetworkManager/system-connections/kvmpanel-br0"
GUESTS_LATER = [f"/etc/systemd/system/{one}.service.d/kvmpanel-br0.conf" for one in ("libvirtd", "virtqemud")]
WAITS = HEADER + "[Unit]\nWants=NetworkManager-wait-online.service\nAfter=NetworkManager-wait-online.service\n"


def test_networkmanager_s_bridge_has_the_addresses_of_the_uplink_s_profile() -> None:
    found = changes("networkmanager", {PROFILE: KEYFILE})
    assert {path: change.after for path, change in found.items()} == dict.fromkeys(GUESTS_LATER, WAITS) | {
        f"{OURS}.nmconnection": HEADER
        + plain(
            """
            [connection]
            id=kvmpanel-br0
            uuid=06564e02-bade-5979-a76a-240aa32f974c
            type=bridge
            interface-name=br0
            zone=internal

            [bridge]
            stp=false
            mac-address=52:54:00:12:34:56

            [ipv4]
            method=manual
            address1=10.0.0.5/24,10.0.0.1
            dns=10.0.0.1;

            [ipv6]
            method=link-local
            """
        ),
        f"{OURS}-port.nmconnection": HEADER
        + plain(
            """
            [connection]
            id=kvmpanel-br0-port
            uuid=0e746e26-d78b-5ba7-804b-bd8f5493574a
            type=ethernet
            autoconnect-priority=999
            master=06564e02-bade-5979-a76a-240aa32f974c
            slave-type=bridge

            [ethernet]
            mac-address=52:54:00:12:34:56
            """
        ),
    }


def test_networkmanager_asks_dhcp_as_the_client_that_the_uplink_was() -> None:
    dhcp = "[connection]\nid=wired\n[ipv4]\nmethod=auto\n"
    after = changes("networkmanager", {PROFILE: dhcp}, client="networkmanager", client_id="ff00aa")
    assert "[ipv4]\nmethod=auto\ndhcp-client-id=ff:00:aa\n" in (after[f"{OURS}.nmconnection"].after or "")


def test_networkmanager_goes_from_the_uplink_to_the_bridge_by_the_write_of_one_file() -> None:
    """A port whose bridge has no profile is none."""
    *before, port, bridge = changes("networkmanager", {PROFILE: KEYFILE})
    assert (port, bridge) == (f"{OURS}-port.nmconnection", f"{OURS}.nmconnection")
    assert before == GUESTS_LATER


def test_networkmanager_s_routes_keep_the_metric_of_a_card() -> None:
    after = changes("networkmanager", {PROFILE: KEYFILE}, route_metric=100)[f"{OURS}.nmconnection"].after
    assert after is not None
    assert after.count("\nroute-metric=100\n") == 2
    own = changes(
        "networkmanager", {PROFILE: KEYFILE.replace("[ipv4]", "[ipv4]\n    route-metric=5")}, route_metric=100
    )
    assert "[ipv4]\nroute-metric=5\n" in (own[f"{OURS}.nmconnection"].after or "")


def test_networkmanager_refuses_a_profile_that_nothing_could_win_over() -> None:
    assert "eth0" in why_not("networkmanager", {PROFILE: "[connection]\nautoconnect-priority=999\n"})


@pytest.mark.parametrize(
    ("owner", "file", "text"),
    [
        ("ifupdown", "/etc/network/interfaces", DEBIAN),
        ("networkd", "/etc/systemd/network/20-wired.network", NETWORKD),
        ("netplan", "/etc/netplan/01-netcfg.yaml", NETPLAN),
        ("networkmanager", PROFILE, KEYFILE),
    ],
)
def test_an_uplink_that_has_another_name_after_the_restart_is_found_by_its_permanent_mac(
    owner: Owner, file: str, text: str
) -> None:
    card = "52:54:00:aa:aa:aa"
    found = changes(owner, {file: text}, LastingBridge("br0", "eth0", mac=MAC, mtu=1500, permanent_mac=card))
    ours = "".join(change.after or "" for path, change in found.items() if path != file)
    assert card in ours.lower()
    named = [line.strip() for line in ours.splitlines() if "eth0" in line and not line.startswith("#")]
    assert named == (["set-name: eth0"] if owner == "netplan" else [])  # as its own block has named it


def test_netplan_s_card_without_a_permanent_mac_is_found_as_it_was_before_it_got_its_name() -> None:
    bridge = LastingBridge("br0", "eth0", mac=MAC, mtu=1500)
    text = """
        network:
          ethernets:
            nic0:
              dhcp4: true
              match:
                driver: virtio_net
              wakeonlan: true
              set-name: eth0
        """
    found = changes("netplan", {"/etc/netplan/x.yaml": text}, bridge, client="networkd")
    ours = found["/etc/netplan/90-kvmpanel-br0.yaml"].after or ""
    port = ours.partition("    kvmpanel-br0:\n")[2].partition("      link-local")[0]
    assert textwrap.dedent(port) == "match:\n  driver: virtio_net\nset-name: eth0\nwakeonlan: true\n"


@pytest.mark.parametrize("owner", ["ifupdown", "networkd", "netplan", "networkmanager"])
def test_a_card_that_is_named_by_its_mac_alone_is_refused_for_the_bridge_has_the_same(owner: Owner) -> None:
    configuration = LinkConfiguration(link="lan0", owner=owner, also_names="/etc/systemd/network/10-lan.link")
    with pytest.raises(CannotLast, match=r"10-lan\.link .* Type=ether"):
        file_changes(owner, LastingBridge("br0", "lan0", mac=MAC), configuration)


@pytest.mark.parametrize("owner", ["ifupdown", "networkd", "netplan", "networkmanager"])
def test_an_unknown_dhcp_client_is_refused(owner: Owner) -> None:
    with pytest.raises(CannotLast, match="DHCP client"):
        changes(owner, {}, dhcp=True)
