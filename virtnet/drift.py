"""What of a network on its host is not as the panel made it any more. It is shown, and mended when
somebody asks."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from virtnet import network_xml_changes
from virtnet.facts import HostFacts, NetworkFacts
from virtnet.refs import NetworkRef
from virtnet.spec import NetworkSpec, Problem
from virtnet.text import text

AGAIN = text("Edit the network and update it: the panel shows what it would do, and makes it so again.")


def drift(spec: NetworkSpec, ref: NetworkRef, facts: HostFacts) -> list[Problem]:
    """Empty where all is as wanted, and where the network itself is gone: that is said elsewhere."""
    found = next((network for network in facts.networks if network.uuid == ref.uuid), None)
    if found is None:
        return []
    return [*_document(spec, ref, found), *_rules(spec, facts), *spec.drift(facts, ref)]


def _document(spec: NetworkSpec, ref: NetworkRef, found: NetworkFacts) -> list[Problem]:
    if not found.xml:
        return []
    try:
        same = network_xml_changes.holds(found.xml, spec.libvirt_xml(ref))
    except ET.ParseError:  # cut, because it is longer than facts hold
        same = False
    if same:
        return []
    sentence = text("Another tool has changed libvirt's document of %(network)s.", network=ref.name)
    return [Problem(text=sentence, fix=AGAIN)]


def _rules(spec: NetworkSpec, facts: HostFacts) -> list[Problem]:
    if spec.firewall_rules() is None or facts.filtering.rules_in_force is not False:
        return []
    sentence = text(
        "The rules of the panel's networks are not in the kernel as they were loaded (table inet kvmpanel): somebody "
        "has flushed or changed them."
    )
    return [Problem(text=sentence, fix=AGAIN)]
