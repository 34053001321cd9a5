"""A bridge with STP and two uplinks, written for each owner: both are its ports, and neither keeps files of its own."""

from __future__ import annotations

import pytest

from virtnet.configuration import ConfigurationFile, LinkConfiguration, Owner
from virtnet.persist import CannotLast, LastingBridge, file_changes
from virtnet.persist.marked import without_marks

MAC, SECOND_MAC = "52:54:00:12:34:56", "52:54:00:12:34:57"
TWO = LastingBridge(
    "br0", "eth0", MAC, permanent_mac=MAC, second="eth1", second_permanent_mac=SECOND_MAC, forward_delay=15
)
BY_NAME = LastingBridge("br0", "eth0", MAC, second="eth1", forward_delay=15)


def changes(by: Owner, path: str, text: str, bridge: LastingBridge = TWO, **second: object) -> dict[str, str]:
    """Path -> text afterwards. The file is one that the owner reads of both links."""
    files = (ConfigurationFile(path=path, text=text),)
    first = LinkConfiguration(link="eth0", owner=by, permanent_mac=MAC, files=files)
    about = {"link": "eth1", "owner": by, "permanent_mac": SECOND_MAC, "files": files} | second
    found = file_changes(by, bridge, first, LinkConfiguration.model_validate(about))
    for change in found:
        if change.before is not None and change.after is not None:
            assert without_marks(change.after, "br0") == change.before
    return {change.path: change.after or "" for change in found}


INTERFACES = """\
source interfaces.d/*
auto eth0 eth1 eth2
iface eth0 inet static
    address 10.0.0.5/24
iface eth1 inet manual
    mtu 1500
iface eth2 inet manual
"""


@pytest.mark.parametrize("bridge", [TWO, BY_NAME], ids=["by MAC address", "by name"])
def test_ifupdown_makes_a_bridge_with_stp_and_both_ports(bridge: LastingBridge) -> None:
    after = changes("ifupdown", "/etc/network/interfaces", INTERFACES, bridge)
    main = after["/etc/network/interfaces"].splitlines()
    assert [line for line in main if not line.startswith("#")] == [
        "source interfaces.d/*",
        "iface eth2 inet manual",
        "auto eth2",
        "source /etc/network/kvmpanel-br0",
    ]
    ours = after["/etc/network/kvmpanel-br0"]
    assert "type bridge stp_state 1 forward_delay 1500" in ours
    assert ours.index(f"-x {MAC}" if bridge is TWO else "port=eth0") < ours.index(
        f"-x {SECOND_MAC}" if bridge is TWO else "port=eth1"
    )
    # STP keeps the first one forwarding after a start too, whatever port numbers the kernel gives them.
    assert ours.count("bridge link set dev $port priority 40; ip link set dev $port up; }") == 1
    assert "    address 10.0.0.5/24" in ours
    assert "    mtu 1500" not in ours  # of the second uplink's own stanza


def test_networkd_makes_a_bridge_with_stp_and_both_ports() -> None:
    wired = "[Match]\nName=eth*\n\n[Network]\nAddress=10.0.0.5/24\n"
    after = changes("networkd", "/etc/systemd/network/20-wired.network", wired)
    ours = "/etc/systemd/network/0-kvmpanel-br0"
    assert "STP=yes\nForwardDelaySec=15\n" in after[f"{ours}.netdev"]
    assert f"PermanentMACAddress={MAC}\n" in after[f"{ours}-port.network"]
    assert f"PermanentMACAddress={SECOND_MAC}\n" in after[f"{ours}-port2.network"]
    assert "Bridge=br0\n" in after[f"{ours}-port2.network"]
    assert "[Bridge]\nPriority=40\n" in after[f"{ours}-port2.network"]
    assert "Priority" not in after[f"{ours}-port.network"]


def test_networkd_refuses_a_second_uplink_that_carries_a_vlan() -> None:
    files = [{"path": "/etc/systemd/network/30-second.network", "text": "[Match]\nName=eth1\n[Network]\nVLAN=office\n"}]
    with pytest.raises(CannotLast) as refused:
        changes("networkd", "/etc/systemd/network/20-wired.network", "[Match]\nName=eth0\n", files=files)
    assert "eth1: VLAN=office" in str(refused.value.text)


NETPLAN = """\
network:
  version: 2
  ethernets:
    eth0:
      addresses: [10.0.0.5/24]
    eth1:
      optional: true
"""


def test_netplan_makes_a_bridge_with_stp_and_both_ports_and_takes_both_blocks_with_their_empty_parent() -> None:
    after = changes("netplan", "/etc/netplan/01-netcfg.yaml", NETPLAN)
    assert [line for line in after["/etc/netplan/01-netcfg.yaml"].splitlines() if not line.startswith("#")] == [
        "network:",
        "  version: 2",
    ]
    ours = after["/etc/netplan/90-kvmpanel-br0.yaml"]
    assert "      interfaces: [kvmpanel-br0, kvmpanel-br02]\n" in ours
    assert f'    kvmpanel-br02:\n      match:\n        macaddress: "{SECOND_MAC}"\n' in ours
    assert "        stp: true\n        forward-delay: 15\n        port-priority: {kvmpanel-br02: 40}\n" in ours
    assert "addresses: [10.0.0.5/24]" in ours
    assert "optional" not in ours


def test_netplan_leaves_a_third_card_where_it_is() -> None:
    after = changes("netplan", "/etc/netplan/01-netcfg.yaml", NETPLAN + "    eth2:\n      dhcp4: true\n", BY_NAME)
    assert [line for line in after["/etc/netplan/01-netcfg.yaml"].splitlines() if not line.startswith("#")] == [
        "network:",
        "  version: 2",
        "  ethernets:",
        "    eth2:",
        "      dhcp4: true",
    ]
    ours = after["/etc/netplan/90-kvmpanel-br0.yaml"]
    assert "interfaces: [kvmpanel-br0, kvmpanel-br02]" in ours
    assert '    kvmpanel-br02:\n      match:\n        name: "eth1"\n' in ours


def test_networkmanager_makes_a_bridge_with_stp_and_both_ports() -> None:
    profile = "[connection]\nid=wired\n\n[ipv4]\nmethod=manual\naddress1=10.0.0.5/24\n"
    after = changes("networkmanager", "/etc/NetworkManager/system-connections/wired.nmconnection", profile)
    ours = "/etc/NetworkManager/system-connections/kvmpanel-br0"
    assert "[bridge]\nstp=true\nforward-delay=15\n" in after[f"{ours}.nmconnection"]
    first, second = after[f"{ours}-port.nmconnection"], after[f"{ours}-port2.nmconnection"]
    assert f"mac-address={MAC.upper()}" in first
    assert f"mac-address={SECOND_MAC.upper()}" in second
    assert "[bridge-port]\npriority=40\n" in second
    assert "bridge-port" not in first
    uuids = [line for text in (first, second) for line in text.splitlines() if line.startswith("uuid=")]
    assert len(set(uuids)) == 2


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ({"owner": "networkmanager"}, "eth1 is configured by NetworkManager, eth0 is not: one of them must have both."),
        ({"owner": None}, "The host's agent does not say who configures eth1."),
        ({"dhcp": True}, "eth1 is configured to ask DHCP for an address: take that out first."),
    ],
)
def test_a_second_uplink_of_another_owner_or_with_a_lease_of_its_own_is_refused(
    second: dict[str, object], sentence: str
) -> None:
    with pytest.raises(CannotLast) as refused:
        changes("ifupdown", "/etc/network/interfaces", INTERFACES, TWO, **second)
    assert str(refused.value.text) == sentence
