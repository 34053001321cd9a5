"""libvirt's network filters: functions named as libvirt names them, with types. All raise libvirt.libvirtError."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import libvirt

from virtnet.facts import FilterFacts
from virtnet.libvirt_xml import parse

# $GATEWAY_MAC, $IP[@1]
_VARIABLE = re.compile(r"\$([A-Za-z0-9_]+)")


def list_all(connection: libvirt.virConnect) -> tuple[FilterFacts, ...]:
    """All filters by name, each with the variables of all filters in it; empty where libvirt has no driver for them."""
    try:
        documents = [parse(one.XMLDesc()) for one in connection.listAllNWFilters()]
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return ()
        raise
    filters = {document.get("name", ""): document for document in documents}
    return tuple(FilterFacts(name=name, variables=tuple(sorted(_variables(name, filters)))) for name in sorted(filters))


def _variables(name: str, filters: dict[str, ET.Element]) -> set[str]:
    # libvirt refuses a filter that comes to stand in itself, so this ends.
    document = filters.get(name)
    if document is None:
        return set()
    values = [value for element in document.iter() for value in element.attrib.values()]
    found = {variable for value in values for variable in _VARIABLE.findall(value)}
    for reference in document.findall("filterref"):
        given = {parameter.get("name") for parameter in reference.findall("parameter")}
        found |= _variables(reference.get("filter", ""), filters) - given
    return found
