"""Reading a document that libvirt gave out.

ElementTree's own parser refuses an element or attribute whose prefix was never bound (`<b:y/>` inside somebody's
`<metadata>`); libvirt accepts it, keeps it, and gives it out again. So prefixes are resolved here, where they can be.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET
from xml.parsers import expat

_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"


def parse(xml: str) -> ET.Element:
    """The root of a document; tags and attributes with a bound prefix are named `{namespace}tag`, all others as
    they stand. Comments and processing instructions are left out.

    Raises ET.ParseError for what is not well-formed, and for a document type declaration: libvirt writes none, and
    its entities could grow without end.
    """
    builder = ET.TreeBuilder()
    scopes: list[dict[str, str]] = [{"xml": _XML_NAMESPACE}]

    def start(tag: str, attributes: dict[str, str]) -> None:
        scopes.append(scopes[-1] | _bound(attributes))
        named = {
            _resolved(name, scopes[-1], default=""): value
            for name, value in attributes.items()
            if name != "xmlns" and not name.startswith("xmlns:")
        }
        builder.start(_resolved(tag, scopes[-1], default=scopes[-1].get("", "")), named)

    def end(tag: str) -> None:
        builder.end(_resolved(tag, scopes[-1], default=scopes[-1].get("", "")))
        scopes.pop()

    def refuse_doctype(*_declaration: object) -> None:
        raise ET.ParseError("a document type declaration")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse_doctype
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise ET.ParseError(str(error)) from error
    return builder.close()


def _bound(attributes: dict[str, str]) -> dict[str, str]:
    """The namespaces that an element declares, by prefix; "" is the default one."""
    return {
        name.removeprefix("xmlns").removeprefix(":"): value
        for name, value in attributes.items()
        if name == "xmlns" or name.startswith("xmlns:")
    }


def _resolved(name: str, scope: dict[str, str], *, default: str) -> str:
    prefix, colon, local = name.partition(":")
    if not colon:
        return f"{{{default}}}{name}" if default else name
    return f"{{{scope[prefix]}}}{local}" if prefix in scope else name
