"""Reading a document that libvirt gave out, which is not always XML.

ElementTree's own parser refuses an element or attribute whose prefix was never bound (`<b:y/>` inside somebody's
`<metadata>`); libvirt accepts it, keeps it, and gives it out again. So prefixes are resolved here, where they can be.

And libvirt (9.0) writes three names without escaping them: a <domain>'s, a <portgroup>'s and a profileid.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"

# What virNetworkDefFormatBuf, virPortGroupDefFormat and virNetDevVPortProfileFormat write by "'%s'": the start of the
# line, the name as it is, and the rest of the line. Bounded, or a document made for it would take hours to search.
_UNESCAPED = re.compile(
    r"""(?P<start> ^[ \t]* (?: <domain\ name= | <portgroup\ name= | <parameters\ (?:[a-z]+='[^'<&]*'\ )* profileid= ) )
        ' (?P<name> .{0,5000}? ) '
        (?P<rest> (?:\ (?:localOnly|default|trustGuestRxFilters)='(?:yes|no)')* /?> ) (?= \n\s*< )""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


def parse(xml: str) -> ET.Element:
    """The root of a document; tags and attributes with a bound prefix are named `{namespace}tag`, all others as
    they stand. Comments and processing instructions are left out.

    Raises ET.ParseError for what is not well-formed even once libvirt's unescaped names are escaped, and for a document
    type declaration: libvirt writes none, and its entities could grow without end.
    """
    try:
        return _Reader().read(xml)
    except ET.ParseError:
        return _Reader().read(_escaped(xml))


def parse_beginning(xml: str) -> ET.Element:
    """The same, but of a document that breaks off: its elements up to there. Raises ET.ParseError where it has none."""
    try:
        return parse(xml)
    except ET.ParseError:
        reader = _Reader()
        try:
            return reader.read(_escaped(xml))
        except ET.ParseError:
            if not reader.open_tags:
                raise
        return reader.broken_off()


def _escaped(xml: str) -> str:
    return _UNESCAPED.sub(lambda line: line["start"] + quoteattr(line["name"]) + line["rest"], xml)


class _Reader:
    """Builds the tree of one document."""

    def __init__(self) -> None:
        self.open_tags: list[str] = []
        self._builder = ET.TreeBuilder()
        self._scopes: list[dict[str, str]] = [{"xml": _XML_NAMESPACE}]

    def read(self, xml: str) -> ET.Element:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._builder.data
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        try:
            parser.Parse(xml, True)
        except expat.ExpatError as error:
            raise ET.ParseError(str(error)) from error
        return self._builder.close()

    def broken_off(self) -> ET.Element:
        """The tree as far as it was read."""
        while self.open_tags:
            self._end("")
        return self._builder.close()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        scope = self._scopes[-1] | _bound(attributes)
        named = {
            _resolved(name, scope, default=""): value
            for name, value in attributes.items()
            if name != "xmlns" and not name.startswith("xmlns:")
        }
        self._scopes.append(scope)
        self.open_tags.append(_resolved(tag, scope, default=scope.get("", "")))
        self._builder.start(self.open_tags[-1], named)

    def _end(self, _tag: str) -> None:
        self._builder.end(self.open_tags.pop())
        self._scopes.pop()

    def _refuse_doctype(self, *_declaration: object) -> None:
        raise ET.ParseError("a document type declaration")


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
