"""LinuxHost: the verbs of virtnet.host, done for real. Each looks first, then does, tells, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable

import libvirt

from kvmagent import filtering, libvirt_domains, libvirt_networks, settings, sriov
from kvmagent.domain_verbs import DomainVerbs
from kvmagent.facts import read_facts, read_networks
from kvmagent.firewall import Firewall, Former
from kvmagent.guard_verbs import Confirmation, GuardVerbs, NobodyConfirms
from kvmagent.libvirt_connection import Libvirt, LibvirtDown
from kvmagent.link_verbs import LinkVerbs
from kvmagent.network_verbs import NetworkVerbs
from kvmagent.persist_verbs import PersistVerbs
from kvmagent.steps import Steps, VerbFailed
from kvmagent.vf_verbs import VfVerbs
from kvmagent.vfs import described
from virtnet import guarding, verbs, vf_verbs
from virtnet.actions import AnyAction, AttachInterface, DetachInterface
from virtnet.bridges import Wiring
from virtnet.card_filter import CardFilter
from virtnet.facts import HostFacts
from virtnet.filter_actions import SetInboundPolicy, SetInterfaceFilter
from virtnet.firewall import NetworkRules
from virtnet.host import Asks
from virtnet.inbound import InboundPolicy
from virtnet.interface import InterfaceSpec
from virtnet.messages import LONGEST_DESCRIPTION, Step
from virtnet.plan import RecordingHost
from virtnet.refs import DomainRef, NetworkRef
from virtnet.text import text
from virtnet.verbs import Verb
from virtnet.vf import VfAttributes
from virtnet.vf_actions import SetNumvfs, SetVfAttributes
from virtnet.vf_pair import AttachPair, DetachVfOfPair

__all__ = ["LinuxHost", "VerbFailed"]

IN_MEMORY = text("The bridges of libvirt's test driver are not in this kernel.")
ON_A_GUEST = (AttachInterface, AttachPair, DetachInterface, DetachVfOfPair, SetInterfaceFilter, SetInboundPolicy)


class LinuxHost:
    """This host, for one action. `note` is told each step as it happens. Each verb raises VerbFailed."""

    def __init__(
        self, libvirt: Libvirt, note: Callable[[Step], None], confirmation: Confirmation | None = None
    ) -> None:
        self._libvirt = libvirt
        self._steps = Steps(note)
        self._networks = NetworkVerbs(libvirt, self._steps)
        self._domains = DomainVerbs(libvirt, self._steps)
        confirmation = confirmation or NobodyConfirms()
        self._persist = PersistVerbs(self._steps, confirmation.owner)
        self._guard = GuardVerbs(self._steps, lambda: read_facts(libvirt), confirmation)
        self._links = LinkVerbs(self._steps, lambda: read_facts(libvirt), self._guard)
        self._vfs = VfVerbs(self._steps, self._guard.also)
        self._firewall = Firewall(settings.state() / "kvmpanel.nft")
        self._inbound = Firewall(settings.state() / "kvmpanel-guests.nft", family="bridge")

    def take_up(self) -> None:
        """What an interrupted try of this order has left of links and files is taken back by `undo`."""
        self._guard.take_up()
        self._persist.take_up_all()

    def undo(self) -> bool:
        """Take back what was done, the last first. True when all of it worked and the links are as they were."""
        undone = self._steps.undo()
        told = self._persist.finish_undo()
        return self._links.compare_with_before() and told and undone

    def describe(self, action: AnyAction) -> str:
        """What the action is about, as it is now: XML of a network or domain, lines on a PF; "" when there is none.

        Raises VerbFailed when libvirtd does not say.
        """
        try:
            return self._xml(action)[:LONGEST_DESCRIPTION]
        except LibvirtDown as error:
            raise VerbFailed(error.text) from error
        except libvirt.libvirtError as error:
            raise VerbFailed(text("libvirt does not show it: %(error)s", error=error)) from error

    def define_network(self, network: NetworkRef, xml: str) -> None:
        self._networks.define(network, xml)

    def update_network(self, network: NetworkRef, xml: str) -> None:
        self._networks.update(network, xml)

    def set_autostart(self, network: NetworkRef, autostart: bool) -> None:
        self._networks.set_autostart(network, autostart)

    def start_network(self, network: NetworkRef) -> None:
        self._networks.start(network)

    def destroy_network(self, network: NetworkRef) -> None:
        self._networks.destroy(network)

    def undefine_network(self, network: NetworkRef) -> None:
        self._networks.undefine(network)

    def attach_interface(self, domain: DomainRef, interface: InterfaceSpec) -> None:
        self._domains.attach_interface(domain, interface)

    def detach_interface(self, domain: DomainRef, mac: str) -> None:
        self._domains.detach_interface(domain, mac)

    def detach_vf_of_pair(self, domain: DomainRef, mac: str) -> None:
        self._domains.detach_vf_of_pair(domain, mac)

    def set_filter(self, domain: DomainRef, mac: str, wanted: CardFilter | None) -> None:
        self._domains.set_filter(domain, mac, wanted)

    def set_inbound_policy(self, domain: DomainRef, mac: str, policy: InboundPolicy | None) -> None:
        facts = read_facts(self._libvirt)
        if facts.libvirt_error is not None:
            raise VerbFailed(facts.libvirt_error)
        # The preview's own way: what was shown is what is kept and loaded.
        preview = RecordingHost(facts)
        preview.set_inbound_policy(domain, mac, policy)
        if preview.verbs:
            self._domains.keep_inbound_policies(domain, preview.verbs[0].document)
        # An earlier try may have been interrupted between the two.
        if preview.verbs or filtering.judges(mac):
            self._load(self._inbound, verbs.load_inbound_rules(preview.inbound_ruleset()))

    def arm_guard(
        self,
        links: tuple[str, ...],
        asks: Asks = "panel",
        *,
        new: tuple[str, ...] = (),
        network: NetworkRef | None = None,
        mute: int = 0,
        facts: HostFacts | None = None,
    ) -> None:
        """facts: of this moment, where they have been read already."""
        if not self._is_test_driver():
            for bridge in new:
                self._persist.take_up(bridge)
            self._guard.arm(links, asks, new, network, mute=mute, facts=facts)

    def arm_guard_for_vfs(self, pf: str, numvfs: int) -> None:
        # An interrupted try may have set the number, and its guard still waits for the confirmation.
        if sriov.numvfs(pf) != numvfs or self._guard.waits_for_this_change():
            self.arm_guard((pf,))

    def arm_guard_for_bridge(self, network: NetworkRef, wanted: Wiring) -> None:
        facts = read_facts(self._libvirt)
        links, mute = guarding.wired(facts, network, wanted), guarding.mute_seconds(facts, wanted)
        self.arm_guard(links, "person", new=(wanted.bridge,), mute=mute, facts=facts)

    def await_confirmation(self) -> None:
        self._guard.await_confirmation()

    def add_bridge(self, bridge: str, network: NetworkRef, uplink: str | None, second: str | None = None) -> None:
        if not self._only_in_memory(verbs.add_bridge(bridge, uplink)):
            self._persist.take_up(bridge)
            self._links.add_bridge(bridge, network, uplink, second)

    def replace_second(self, bridge: str, network: NetworkRef, second: str | None) -> None:
        if not self._is_test_driver():
            self._links.replace_second(bridge, network, second)

    def set_stp(self, bridge: str, network: NetworkRef, forward_delay: int) -> None:
        if not self._is_test_driver():
            self._links.set_stp(bridge, network, forward_delay)

    def set_mtu(self, network: NetworkRef, wanted: Wiring) -> None:
        if not self._is_test_driver():
            self._links.set_mtu(network, wanted)

    def delete_bridge(self, bridge: str, network: NetworkRef) -> None:
        if not self._only_in_memory(verbs.delete_bridge(bridge)):
            self._links.delete_bridge(bridge, network)

    def set_master(self, link: str, bridge: str) -> None:
        if not self._only_in_memory(verbs.set_master(link, bridge)):
            self._links.set_master(link, bridge)

    def set_up(self, link: str) -> None:
        if not self._only_in_memory(verbs.set_up(link)):
            self._links.set_up(link)

    def leave_to_guest(self, link: str) -> None:
        if not self._only_in_memory(verbs.leave_to_guest(link)):
            self._links.leave_to_guest(link)

    def take_back_links(self) -> None:
        self._links.take_back_links()

    def set_numvfs(self, pf: str, numvfs: int) -> None:
        if not self._only_in_memory(vf_verbs.set_numvfs(pf, numvfs)):
            self._vfs.set_numvfs(pf, numvfs)

    def keep_numvfs(self, pf: str, numvfs: int) -> None:
        if not self._only_in_memory(vf_verbs.keep_numvfs(pf, numvfs)):
            self._vfs.keep_numvfs(pf, numvfs)

    def set_vf(self, pf: str, vf: int, attributes: VfAttributes) -> None:
        if not self._only_in_memory(vf_verbs.set_vf(pf, vf, attributes.wanted())):
            self._vfs.set_vf(pf, vf, attributes)

    def keep_vf(self, pf: str, vf: int, attributes: VfAttributes) -> None:
        if not self._only_in_memory(vf_verbs.keep_vf(pf, vf)):
            self._vfs.keep_vf(pf, vf, attributes)

    def persist_bridge(self, network: NetworkRef, wanted: Wiring) -> None:
        if not self._only_in_memory(verbs.persist_bridge(wanted.bridge)):
            self._persist.persist_bridge(network, wanted)

    def forget_bridge(self, bridge: str) -> None:
        if not self._only_in_memory(verbs.forget_bridge(bridge)):
            self._persist.forget_bridge(bridge, gone=bridge in self._links.gone)

    def load_firewall(self, network: NetworkRef, rules: NetworkRules | None) -> None:
        verb = (verbs.load_firewall_without if rules is None else verbs.load_firewall)(network, "")
        with self._steps.doing(verb):
            connection = self._libvirt.connection()
            # The preview's own way: what was shown is what is loaded.
            preview = RecordingHost(HostFacts(networks=read_networks(connection, leases=False)))
            preview.load_firewall(network, rules)
            (verb,) = preview.verbs
        self._load(self._firewall, verb)

    def _is_test_driver(self) -> bool:
        """What libvirt's test driver has is not in this kernel, whose own links stay untouched. Raises LibvirtDown."""
        return str(self._libvirt.connection().getType()) == "TEST"

    def _only_in_memory(self, verb: Verb) -> bool:
        """Whether the verb is told and not done, because this is libvirt's test driver."""
        with self._steps.doing(verb):
            if not self._is_test_driver():
                return False
        self._steps.already_so(verb, IN_MEMORY)
        return True

    def _load(self, firewall: Firewall, verb: Verb) -> None:
        if self._only_in_memory(verb):
            return
        with self._steps.doing(verb):
            former = firewall.now()
            if firewall.holds(verb.document, former):
                self._steps.already_so(verb)
                return
            back = Verb(text=text("Put the former firewall table back."), command=verb.command)
            self._steps.push(back, lambda: self._restore(firewall, former))
            firewall.load(verb.document)
            self._steps.done(verb)

    @staticmethod
    def _restore(firewall: Firewall, former: Former) -> bool:
        if firewall.now() == former:
            return False
        firewall.restore(former)
        return True

    def _xml(self, action: AnyAction) -> str:
        if isinstance(action, SetNumvfs | SetVfAttributes):
            return described(action.pf)
        connection = self._libvirt.connection()
        if isinstance(action, ON_A_GUEST):
            domain = libvirt_domains.find(connection, action.domain)
            return "" if domain is None else str(domain.XMLDesc(0))
        network = libvirt_networks.find(connection, action.network)
        return "" if network is None else libvirt_networks.inactive_xml(network)
