from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from virtnet.libvirt_xml import parse, parse_beginning


def same(one: ET.Element, other: ET.Element) -> bool:
    return (
        (one.tag, one.attrib, one.text or "", one.tail or "")
        == (other.tag, other.attrib, other.text or "", other.tail or "")
        and len(one) == len(other)
        and all(same(left, right) for left, right in zip(one, other, strict=True))
    )


@pytest.mark.parametrize(
    "xml",
    [
        "<a/>",
        "<a b='1'>text<c/>tail</a>",
        "<a xmlns='urn:a'><b/><c xmlns=''><d/></c></a>",
        "<x:a xmlns:x='urn:x' x:b='1' b='2'><x:c xmlns:x='urn:y'/><x:d/></x:a>",
        "<a xml:lang='vi'>&lt;mạng&gt; &#10;😀<![CDATA[<b/>&]]></a>",
        "<?xml version='1.0' encoding='UTF-8'?>\n<a><!-- said --><?pi?><b/></a>",
    ],
)
def test_it_reads_as_elementtree_does(xml: str) -> None:
    assert same(parse(xml), ET.XML(xml))


def test_a_prefix_that_was_never_bound_stays_as_it_stands() -> None:
    root = parse("<a><b:c d:e='1' xmlns:f='urn:f' f:g='2'/><b:h xmlns:b='urn:b'/></a>")
    assert [(child.tag, child.attrib) for child in root] == [
        ("b:c", {"d:e": "1", "{urn:f}g": "2"}),
        ("{urn:b}h", {}),
    ]


@pytest.mark.parametrize(
    "xml", ["", "x", "<a>", "<a/><b/>", "<a b=1/>", "<a>&nbsp;</a>", "<a>\x01</a>", "<a b='' b=''/>"]
)
def test_what_is_no_xml_is_refused(xml: str) -> None:
    with pytest.raises(ET.ParseError):
        parse(xml)


def test_entities_that_grow_are_refused_before_they_can() -> None:
    bomb = "<!DOCTYPE a [<!ENTITY x 'xxxxxxxxxx'><!ENTITY y '&x;&x;&x;&x;'>]><a>&y;</a>"
    with pytest.raises(ET.ParseError, match="document type declaration"):
        parse(bomb)


def test_a_document_a_thousand_elements_deep_is_read() -> None:
    assert parse("<a>" * 1000 + "</a>" * 1000).tag == "a"


@pytest.mark.parametrize("name", ["<", "&", "a'b", '"', "<'&\"", "a\nb", "a>b", "</domain>"])
def test_the_names_that_libvirt_writes_unescaped_are_read(name: str) -> None:
    root = parse(
        "<network>\n"
        f"  <domain name='{name}' localOnly='yes'/>\n"
        "  <virtualport type='openvswitch'>\n"
        f"    <parameters interfaceid='09b11c53' profileid='{name}'/>\n"
        "  </virtualport>\n"
        f"  <portgroup name='{name}' default='yes'>\n"
        "  </portgroup>\n"
        "</network>\n"
    )
    assert [child.tag for child in root] == ["domain", "virtualport", "portgroup"]
    # Where the document is XML as it stands, a newline in an attribute is a space.
    read = {root[0].get("name"), root[1][0].get("profileid"), root[2].get("name")}
    assert read == {name.replace("\n", " ")}
    assert root[2].get("default") == "yes"


def test_a_document_that_breaks_off_is_read_up_to_there() -> None:
    assert ET.tostring(parse_beginning("<a><b c='1'>x</b><d><e/>")) == b'<a><b c="1">x</b><d><e /></d></a>'


@pytest.mark.parametrize("xml", ["", "x", "<!DOCTYPE a []><a/>", "<a/><b/>"])
def test_what_has_no_beginning_is_refused(xml: str) -> None:
    with pytest.raises(ET.ParseError):
        parse_beginning(xml)


@pytest.mark.parametrize("xml", ["\n" * 100_000 + "<", "<domain name='a\n" * 6_000], ids=["newlines", "beginnings"])
@pytest.mark.timeout(3)
def test_a_document_that_was_made_to_be_slow_is_refused_at_once(xml: str) -> None:
    with pytest.raises(ET.ParseError):
        parse(xml)
