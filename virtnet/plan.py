"""The plan of an action: what its `apply` would ask of the host, taken down by a host that does nothing."""

from __future__ import annotations

from virtnet import bridge_mtu, bridges, firewall, guarding, inbound, moves, network_xml, persist, verbs, vf_verbs
from virtnet.actions import Action
from virtnet.bridges import Wiring
from virtnet.card_filter import CardFilter
from virtnet.configuration import FileChange
from virtnet.facts import DomainFacts, HostFacts
from virtnet.firewall import NetworkRules
from virtnet.host import Asks
from virtnet.inbound import InboundPolicy, read_policy
from virtnet.interface import InterfaceSpec
from virtnet.libvirt_xml import parse
from virtnet.modes import read_spec
from virtnet.refs import DomainRef, NetworkRef
from virtnet.verbs import Verb
from virtnet.vf import VfAttributes, target


def plan(action: Action, facts: HostFacts) -> list[Verb]:
    """The verbs of an action in order, with the commands a person would type and the documents they read."""
    host = RecordingHost(facts)
    action.apply(host)
    return host.verbs


def firewall_ruleset(facts: HostFacts) -> str | None:
    """The table that the panel's networks on this host are due; None where none of them is due any rules."""
    rules = _rules_on(facts)
    return firewall.ruleset(rules.values()) if rules else None


class RecordingHost:
    """A Host that only writes down what it is asked.

    `facts` gives the rest of the firewall table, and who else stands on a bridge.
    """

    def __init__(self, facts: HostFacts) -> None:
        self.verbs: list[Verb] = []
        self.files: list[FileChange] = []  # of the host's own configuration
        self._facts = facts
        self._taken_away: set[str] = set()
        self._second: str | None = None  # uplink
        self._freed: list[str] = []  # links that no guest owns any more
        self._rules = _rules_on(facts)
        self._policies = {guest.uuid: _policies_of(guest) for guest in facts.domains}
        self._asks: Asks | None = None

    def define_network(self, network: NetworkRef, xml: str) -> None:
        self.verbs.append(verbs.define_network(network, xml))

    def update_network(self, network: NetworkRef, xml: str) -> None:
        self._note_freed(network, keeps=xml)
        self.verbs.append(verbs.update_network(network, xml))

    def set_autostart(self, network: NetworkRef, autostart: bool) -> None:
        self.verbs.append(verbs.set_autostart(network, autostart))

    def start_network(self, network: NetworkRef) -> None:
        self.verbs.append(verbs.start_network(network))

    def destroy_network(self, network: NetworkRef) -> None:
        self.verbs.append(verbs.destroy_network(network))

    def undefine_network(self, network: NetworkRef) -> None:
        self._note_freed(network)
        self.verbs.append(verbs.undefine_network(network))

    def attach_interface(self, domain: DomainRef, interface: InterfaceSpec) -> None:
        self.verbs.append(verbs.attach_interface(domain, interface))

    def detach_interface(self, domain: DomainRef, mac: str) -> None:
        guest = self._facts.domain(domain.uuid)
        cards = [card for card in guest.interfaces if card.mac == mac] if guest is not None else []
        self._freed += [card.source for card in cards if card.source and card.source_mode == "passthrough"]
        self.verbs.append(verbs.detach_interface(domain, mac, *[card.type for card in cards[:1]]))

    def detach_vf_of_pair(self, domain: DomainRef, mac: str) -> None:
        self.verbs.append(verbs.detach_vf_of_pair(domain, mac))

    def set_filter(self, domain: DomainRef, mac: str, wanted: CardFilter | None) -> None:
        self.verbs.append(verbs.set_filter(domain, mac, wanted))

    def set_inbound_policy(self, domain: DomainRef, mac: str, policy: InboundPolicy | None) -> None:
        policies = self._policies.setdefault(domain.uuid, {})
        if policy is None and policies.pop(mac, None) is None:
            return
        if policy is not None:
            policies[mac] = policy.model_dump_json()
        self.verbs.append(verbs.keep_inbound_policies(domain, inbound.document(policies)))
        self.verbs.append(verbs.load_inbound_rules(self.inbound_ruleset()))

    def inbound_ruleset(self) -> str:
        """The table with the policies of all guests."""
        written = {mac: found for policies in self._policies.values() for mac, found in policies.items()}
        read = {mac: read_policy(found) for mac, found in written.items()}
        return inbound.ruleset({mac: policy for mac, policy in read.items() if policy is not None})

    def load_firewall(self, network: NetworkRef, rules: NetworkRules | None) -> None:
        self._rules.pop(network.name, None)
        verb = verbs.load_firewall_without
        if rules is not None:
            self._rules[network.name] = rules
            verb = verbs.load_firewall
        self.verbs.append(verb(network, firewall.ruleset(self._rules.values())))

    def arm_guard(
        self,
        links: tuple[str, ...],
        asks: Asks = "panel",
        *,
        new: tuple[str, ...] = (),
        network: NetworkRef | None = None,
        mute: int = 0,
    ) -> None:
        why = guarding.why_risky(self._facts, links, network)
        if why is not None:
            self._asks = asks
            self.verbs.append(verbs.arm_guard(guarding.touched(self._facts, (*links, *new)), why))

    def arm_guard_for_vfs(self, pf: str, numvfs: int) -> None:
        link = self._facts.link(pf)
        if link is not None and (link.numvfs or 0) != numvfs:
            self.arm_guard((pf,))

    def arm_guard_for_bridge(self, network: NetworkRef, wanted: Wiring) -> None:
        links, mute = guarding.wired(self._facts, network, wanted), guarding.mute_seconds(self._facts, wanted)
        self.arm_guard(links, "person", new=(wanted.bridge,), mute=mute)

    def await_confirmation(self) -> None:
        if self._asks is not None:
            self.verbs.append(verbs.await_confirmation(self._asks))

    def add_bridge(self, bridge: str, network: NetworkRef, uplink: str | None, second: str | None = None) -> None:
        self.verbs.append(verbs.add_bridge(bridge, uplink))

    def replace_second(self, bridge: str, network: NetworkRef, second: str | None) -> None:
        self._second = second
        found = self._facts.link(bridge)
        if found is None or found.made_for != network.uuid:
            return
        former = found.made_with_second
        if former is not None and former != second:
            self.verbs.append(verbs.free(former, bridge, found.made_with, was_up=former not in found.made_with_down))

    def set_stp(self, bridge: str, network: NetworkRef, forward_delay: int) -> None:
        found = self._facts.link(bridge)
        if forward_delay or (found is not None and found.made_for == network.uuid and found.stp):
            self.verbs.append(verbs.set_stp(bridge, forward_delay))

    def set_mtu(self, network: NetworkRef, wanted: Wiring) -> None:
        found = self._facts.link(wanted.bridge)
        if wanted.mtu is not None and (found is None or found.made_for == network.uuid):
            names = bridge_mtu.in_order(wanted.bridge, bridge_mtu.followers(self._facts, wanted), wanted.mtu)
            self.verbs.append(verbs.set_mtu(wanted.mtu, names))

    def delete_bridge(self, bridge: str, network: NetworkRef) -> None:
        found = self._facts.link(bridge)
        if found is None or bridges.why_it_stays(self._facts, bridge, network) is not None:
            return
        self._taken_away.add(bridge)
        carried = moves.carried_on(self._facts, found)
        if carried and found.made_with is not None:
            lines = moves.out_of_bridge(
                carried,
                found.made_with,
                second=found.made_with_second,
                mtus=dict(found.made_with_mtus),
                mtu=found.mtu,
            )
            lasting = self._facts.lasting_bridge(bridge)
            owner = lasting.owner if lasting is not None else None
            self.verbs.append(verbs.move_out_of_bridge(bridge, found.made_with, lines, owner))
        else:
            self.verbs.append(verbs.delete_bridge(bridge))

    def set_master(self, link: str, bridge: str) -> None:
        found = self._facts.link(link)
        carried = moves.carried_on(self._facts, found) if found is not None and found.master != bridge else None
        if carried:
            self.verbs.append(verbs.move_into_bridge(link, bridge, moves.into_bridge(carried, bridge)))
        else:
            self.verbs.append(verbs.set_master(link, bridge, is_second=link == self._second))

    def set_up(self, link: str) -> None:
        self.verbs.append(verbs.set_up(link))

    def leave_to_guest(self, link: str) -> None:
        self.verbs.append(verbs.leave_to_guest(link))

    def take_back_links(self) -> None:
        self.verbs += [verbs.take_back(link) for link in dict.fromkeys(self._freed)]

    def _note_freed(self, network: NetworkRef, keeps: str = "") -> None:
        """A passthrough network's link, unless the document for it from now on keeps it in passthrough."""
        former = next((found for found in self._facts.networks if found.uuid == network.uuid), None)
        if former is None or network_xml.forward_mode_of(former.xml) != "passthrough":
            return
        kept = network_xml.devs_in(parse(keeps)) if network_xml.forward_mode_of(keeps) == "passthrough" else ()
        self._freed += [dev for dev in former.devs if dev not in kept]

    def set_numvfs(self, pf: str, numvfs: int) -> None:
        link = self._facts.link(pf)
        self.verbs.append(vf_verbs.set_numvfs(pf, numvfs, former=(link.numvfs if link is not None else None) or 0))

    def keep_numvfs(self, pf: str, numvfs: int) -> None:
        self.verbs.append(vf_verbs.keep_numvfs(pf, numvfs))

    def set_vf(self, pf: str, vf: int, attributes: VfAttributes) -> None:
        link = self._facts.link(pf)
        kept = next((one.wanted for one in link.vfs if one.index == vf), None) if link is not None else None
        self.verbs.append(vf_verbs.set_vf(pf, vf, target(attributes, kept)))

    def keep_vf(self, pf: str, vf: int, attributes: VfAttributes) -> None:
        self.verbs.append(vf_verbs.keep_vf(pf, vf))

    def persist_bridge(self, network: NetworkRef, wanted: Wiring) -> None:
        try:
            owner, files = persist.due(self._facts, network, wanted)
        except persist.CannotLast:  # it is among the problems
            return
        if files:
            self.files += files
            self.verbs.append(verbs.persist_bridge(wanted.bridge, owner, files))

    def forget_bridge(self, bridge: str) -> None:
        lasting = self._facts.lasting_bridge(bridge)
        if lasting is not None and bridge in self._taken_away:
            self.files += persist.files_back(self._facts, bridge)
            self.verbs.append(verbs.forget_bridge(bridge, lasting.owner))


def _rules_on(facts: HostFacts) -> dict[str, NetworkRules]:
    specs = {network.name: read_spec(network.spec) for network in facts.networks if network.spec is not None}
    rules = {name: spec.firewall_rules() for name, spec in specs.items() if spec is not None}
    return {name: one for name, one in rules.items() if one is not None}


def _policies_of(guest: DomainFacts) -> dict[str, str]:
    return {found.mac: found.policy for found in guest.inbound}
