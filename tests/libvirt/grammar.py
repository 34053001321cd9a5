"""A grammar of <network> documents, wider than libvirt's: right ones, odd ones, and ones that libvirt refuses."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from hypothesis import strategies as st

Xml = st.SearchStrategy[str]

_XML_TEXT = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
_ANY_NAME = st.one_of(
    st.sampled_from(["..", ".", "a\nb", "😀", "a b", " x ", "<b>&amp;", "%(x)s", "default-2", "n" * 1500, "\u202eabc"]),
    st.text(_XML_TEXT, min_size=1, max_size=20),
    st.from_regex(r"[a-z][a-z0-9-]{0,15}", fullmatch=True),
)
_LINK = st.one_of(st.sampled_from(["eth0", "eth1", "br0", "ens1f0", "é", "a\nb", "", "x" * 300, "a/b"]), _ANY_NAME)
_IPV4 = st.sampled_from(["10.1.2.3", "172.16.0.1", "192.168.9.1", "0.0.0.0", "255.255.255.255", "10.1", "0x0a.1", "x"])
_IPV6 = st.sampled_from(["2001:db8::1", "fe80::1%lo", "::", "::ffff:10.0.0.1", "fe80::1", "1::2::3"])
_UUID = st.one_of(
    st.uuids().map(str), st.uuids().map(lambda uuid: f" {uuid.hex} "), st.sampled_from(["", "x", "0" * 32])
)
_METADATA = st.sampled_from(
    [
        "<a:x xmlns:a='urn:a' a:b='1'>text</a:x>",
        "<a:x xmlns:a='urn:a' q:a='1'><b:y c:z='1'/></a:x>",
        "<b:y/>",
        "<x/>",
        "<x xmlns='urn:x'><!-- c --><?pi?><![CDATA[<a>&]]></x>",
        "<kvmpanel:spec xmlns:kvmpanel='urn:kvmpanel:network:1'>{}</kvmpanel:spec>",
        "<kvmpanel:spec xmlns:kvmpanel='urn:kvmpanel:network:1'/>",
        '<spec xmlns=\'urn:kvmpanel:network:1\'>{"mode":"bridge","name":"a","bridge":"br0"}</spec>',
    ]
)


def _element(tag: str, attributes: dict[str, Xml], inside: Xml | None = None) -> Xml:
    """An element with each of its attributes or without it."""

    def write(values: dict[str, str], content: str) -> str:
        written = "".join(f" {name}={_quoted(value)}" for name, value in values.items())
        return f"<{tag}{written}>{content}</{tag}>"

    return st.builds(write, st.fixed_dictionaries({}, optional=attributes), st.just("") if inside is None else inside)


def _quoted(value: str) -> str:
    return quoteattr(value, {"\n": "&#10;"})


def _text(tag: str, value: Xml) -> Xml:
    return value.map(lambda text: f"<{tag}>{escape(text)}</{tag}>")


def _some(*parts: Xml, most: int = 1) -> Xml:
    """Each part up to `most` times, in order."""
    return st.tuples(*(st.lists(part, max_size=most).map("".join) for part in parts)).map("".join)


def _one(*values: str) -> Xml:
    return st.sampled_from(values)


_NUMBER = _one("0", "1", "24", "64", "33", "129", "-1", "4095", "99999", "x", "0x10")
_YES_NO = _one("yes", "no", "maybe")
_VLAN = _element("vlan", {"trunk": _YES_NO}, _some(_element("tag", {"id": _one("1", "42", "4095", "5000")}), most=3))
_BANDWIDTH = _element("bandwidth", {}, _some(_element("inbound", {"average": _one("1000", "0", "x")})))
_VIRTUALPORT = st.one_of(
    _element("virtualport", {"type": _one("openvswitch", "802.1Qbh", "none", "x")}),
    st.just("<virtualport type='802.1Qbh'><parameters profileid='finance'/></virtualport>"),
)
_PORTGROUP = _element("portgroup", {"name": _ANY_NAME, "default": _YES_NO}, _some(_VLAN, _BANDWIDTH, _VIRTUALPORT))
_DHCP = _element(
    "dhcp",
    {},
    _some(
        _element("range", {"start": _IPV4, "end": _IPV4}),
        _element("host", {"mac": _one("52:54:00:00:00:01", "x"), "name": _ANY_NAME, "ip": _IPV4}),
    ),
)
_IP = st.one_of(
    _one(
        "<ip address='192.168.9.1' prefix='24'/>",
        "<ip address='192.168.8.1' netmask='255.255.255.0'/>",
        "<ip address='10.8.0.1'/>",
        "<ip family='ipv6' address='2001:db8::1' prefix='64'/>",
    ),
    _element(
        "ip",
        {
            "family": _one("ipv4", "ipv6"),
            "address": st.one_of(_IPV4, _IPV6),
            "prefix": _NUMBER,
            "netmask": _one("255.255.255.0", "255.0.255.0", "0.0.0.0", "ffff::"),
        },
        _some(_DHCP),
    ),
)
_BRIDGE = _element("bridge", {"name": _LINK, "stp": _one("on", "off"), "delay": _NUMBER, "zone": _one("public")})
_PCI = _element(
    "address",
    {
        "type": _one("pci"),
        "domain": _NUMBER,
        "bus": _one("4", "0xff"),
        "slot": _one("0", "0x1f"),
        "function": _one("1"),
    },
)
_FORWARD_MODE = _one("nat", "route", "open", "bridge", "private", "vepa", "passthrough", "hostdev", "none", "x")
_FORWARD = st.one_of(
    _element("forward", {"mode": _FORWARD_MODE}),
    _element(
        "forward",
        {"mode": _FORWARD_MODE, "dev": _LINK, "managed": _YES_NO},
        _some(_element("interface", {"dev": _LINK}), _element("pf", {"dev": _LINK}), _PCI, most=2),
    ),
)
_DNS = _element("dns", {"enable": _YES_NO}, _some(_element("host", {"ip": _IPV4}, _text("hostname", _ANY_NAME))))
_RIGHT = _one(
    "<forward mode='nat'/><bridge name='virbr7'/><ip address='192.168.9.1' prefix='24'/>",
    "<forward mode='route' dev='eth0'/><ip address='192.168.9.1' prefix='24'/>",
    "<forward mode='open'/><ip address='192.168.9.1' prefix='24'/>",
    "<forward mode='bridge'/><bridge name='br0'/>",
    "<forward mode='private'><interface dev='eth0'/></forward>",
    "<forward mode='hostdev' managed='yes'><pf dev='ens1f0'/></forward>",
    "<bridge name='virbr8'/>",
)
_PARTS: Sequence[Xml] = (
    _text("uuid", _UUID),
    _text("metadata", st.just("")),
    st.lists(_METADATA, max_size=2).map(lambda found: f"<metadata>{''.join(found)}</metadata>"),
    _FORWARD,
    _BRIDGE,
    _element("mtu", {"size": _one("1500", "9000", "x")}),
    _element("mac", {"address": _one("52:54:00:00:00:01", "x")}),
    _element("domain", {"name": _ANY_NAME}),
    _DNS,
    _VLAN,
    _BANDWIDTH,
    _element("port", {"isolated": _YES_NO}),
    _IP,
    _element("route", {"address": _IPV4, "prefix": _NUMBER, "gateway": _IPV4}),
    _VIRTUALPORT,
    _PORTGROUP,
)


def network_documents() -> Xml:
    """XML text: a right network with odd parts added, or odd parts alone."""
    few = st.lists(st.one_of(*_PARTS), max_size=3).map("".join)
    inside = st.one_of(_RIGHT, st.tuples(_RIGHT, few).map("".join), few)
    name = _text("name", _ANY_NAME)
    return st.tuples(name, inside).map(lambda parts: f"<network>{parts[0]}{parts[1]}</network>")
