from __future__ import annotations

from ipaddress import IPv4Network

from virtnet.firewall import NetworkRules, ruleset

NAT = NetworkRules(bridge="virbr1", subnet=IPv4Network("192.168.77.0/24"), masquerade=True)
HOST_ONLY = NetworkRules(bridge="virbr2", subnet=IPv4Network("192.168.78.0/24"), masquerade=False)


def test_the_whole_table_of_a_nat_and_a_host_only_network() -> None:
    assert ruleset([HOST_ONLY, NAT]) == (
        "add table inet kvmpanel\n"
        "delete table inet kvmpanel\n"
        "table inet kvmpanel {\n"
        "\tchain forward {\n"
        "\t\ttype filter hook forward priority filter; policy accept;\n"
        '\t\tiifname "virbr1" oifname "virbr1" accept\n'
        '\t\tiifname "virbr2" oifname "virbr2" accept\n'
        '\t\toifname "virbr1" ip daddr 192.168.77.0/24 ct state established,related accept\n'
        '\t\toifname "virbr1" drop\n'
        '\t\toifname "virbr2" drop\n'
        '\t\tiifname "virbr1" ip saddr 192.168.77.0/24 accept\n'
        '\t\tiifname "virbr1" drop\n'
        '\t\tiifname "virbr2" drop\n'
        "\t}\n"
        "\tchain postrouting {\n"
        "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
        "\t\tip saddr 192.168.77.0/24 ip daddr 224.0.0.0/4 return\n"
        '\t\tip saddr 192.168.77.0/24 ip daddr != 192.168.77.0/24 oifname != "virbr1" masquerade\n'
        "\t}\n"
        "}\n"
    )


def test_without_networks_the_table_is_there_and_empty() -> None:
    assert "drop" not in ruleset([])
    assert "masquerade" not in ruleset([])
    assert ruleset([]).startswith("add table inet kvmpanel\ndelete table inet kvmpanel\n")


def test_the_text_is_the_same_whatever_the_order() -> None:
    assert ruleset([NAT, HOST_ONLY]) == ruleset([HOST_ONLY, NAT])


def test_nothing_leaves_one_network_before_all_have_judged_what_comes_in() -> None:
    lines = ruleset([NAT, HOST_ONLY]).splitlines()
    last_drop_inwards = max(number for number, line in enumerate(lines) if line.strip().startswith("oifname"))
    first_accept_outwards = next(number for number, line in enumerate(lines) if "ip saddr" in line)
    assert last_drop_inwards < first_accept_outwards
