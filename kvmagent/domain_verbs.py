"""The verbs on libvirt domains: their cards."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as ET

import libvirt

from kvmagent import libvirt_domains
from kvmagent.facts import read_networks
from kvmagent.libvirt_connection import Libvirt
from kvmagent.libvirt_domains import LIVE, Half, StillPlugged
from kvmagent.steps import Steps, VerbFailed
from virtnet import inbound, verbs
from virtnet.card_filter import CardFilter
from virtnet.interface import InterfaceSpec, Teaming
from virtnet.libvirt_xml import parse
from virtnet.refs import DomainRef
from virtnet.text import Text, text
from virtnet.verbs import Verb


class DomainVerbs:
    def __init__(self, libvirt: Libvirt, steps: Steps) -> None:
        self._libvirt = libvirt
        self._steps = steps

    def attach_interface(self, domain: DomainRef, interface: InterfaceSpec) -> None:
        verb = verbs.attach_interface(domain, interface)
        with self._steps.doing(verb):
            found = self._domain(domain)
            plugged = _plugged(found, interface.mac, interface.teaming)
            for card in _as_configured(plugged):
                if not self._is_plugged_in_there(card, interface):
                    sentence = text(
                        "%(mac)s is a card of %(guest)s already, plugged in elsewhere. Choose another MAC address.",
                        mac=interface.mac,
                        guest=domain.name,
                    )
                    raise VerbFailed(sentence)
            missing = [affect for affect in libvirt_domains.scopes(found) if affect not in plugged]
            if not missing:
                self._steps.already_so(verb, self._where(found, interface.mac))
                return
            back = verbs.detach_interface(domain, interface.mac, interface.source.type)
            self._steps.push(back, lambda: self._unplug(domain, interface.mac, missing, interface.teaming))
            for affect in missing:
                libvirt_domains.attach_device(found, interface.libvirt_xml(), affect=affect)
            self._steps.done(verb, self._where(found, interface.mac))

    def detach_interface(self, domain: DomainRef, mac: str) -> None:
        verb = verbs.detach_interface(domain, mac)
        with self._steps.doing(verb):
            halves = _halves(self._domain(domain), mac)
            if not halves:
                self._steps.already_so(verb)
                return
            former = next(iter(halves.values()))
            verb = verbs.detach_interface(domain, mac, next(iter(former.values())).get("type", ""))
            self._unplug_all(verb, domain, mac, halves)

    def detach_vf_of_pair(self, domain: DomainRef, mac: str) -> None:
        verb = verbs.detach_vf_of_pair(domain, mac)
        with self._steps.doing(verb):
            halves = _halves(self._domain(domain), mac)
            if "persistent" not in halves:
                raise VerbFailed(text("%(guest)s has no pair %(mac)s.", guest=domain.name, mac=mac))
            vf: dict[Teaming | None, dict[int, ET.Element]] = {
                half: cards for half, cards in halves.items() if half == "transient"
            }
            if not vf:
                self._steps.already_so(verb)
                return
            self._unplug_all(verb, domain, mac, vf)

    def set_filter(self, domain: DomainRef, mac: str, wanted: CardFilter | None) -> None:
        verb = verbs.set_filter(domain, mac, wanted)
        with self._steps.doing(verb):
            found = self._domain(domain)
            plugged = _on_a_tap(found, mac)
            if not plugged:
                raise VerbFailed(text("The guest %(guest)s has no card %(mac)s any more.", guest=domain.name, mac=mac))
            reference = None if wanted is None else wanted.element()
            changed = {affect: libvirt_domains.with_filterref(card, reference) for affect, card in plugged.items()}
            if all(_filters_alike(card, changed[affect]) for affect, card in plugged.items()):
                self._steps.already_so(verb)
                return
            back = Verb(
                text=text("Give the card %(mac)s of %(domain)s its former filter.", mac=mac, domain=domain.name),
                command=verb.command,
            )
            self._steps.push(back, lambda: self._filter_as(domain, mac, plugged))
            # The running guest first: libvirt may refuse, e.g. a filter whose variable is missing.
            for affect, card in changed.items():
                libvirt_domains.update_device(found, card, affect=affect)
            self._steps.done(verb)

    def keep_inbound_policies(self, domain: DomainRef, document: str) -> None:
        verb = verbs.keep_inbound_policies(domain, document)
        with self._steps.doing(verb):
            found = self._domain(domain)
            former = {affect: _kept(found, affect) for affect in libvirt_domains.scopes(found)}
            if all(kept == document for kept in former.values()):
                self._steps.already_so(verb)
                return
            back = Verb(
                text=text("Keep with %(domain)s what may come in to its cards, as before.", domain=domain.name),
                command=verb.command,
            )
            self._steps.push(back, lambda: self._keep(domain, former))
            self._keep(domain, dict.fromkeys(former, document))
            self._steps.done(verb)

    def _unplug_all(
        self, verb: Verb, domain: DomainRef, mac: str, halves: Mapping[Teaming | None, Mapping[int, ET.Element]]
    ) -> None:
        back = Verb(
            text=text("Plug the card %(mac)s of %(domain)s back in.", mac=mac, domain=domain.name),
            command=verb.command.replace("detach-", "attach-"),
        )
        self._steps.push(back, lambda: self._plug_back(domain, mac, halves))
        # The running guest first: it may refuse, and then nothing has changed.
        for half, cards in halves.items():
            self._unplug(domain, mac, list(cards), half)
        self._steps.done(verb)

    def _domain(self, domain: DomainRef) -> libvirt.virDomain:
        found = libvirt_domains.find(self._libvirt.connection(), domain)
        if found is None:
            raise VerbFailed(text("The guest %(guest)s is not on this host any more.", guest=domain.name))
        return found

    def _is_plugged_in_there(self, card: ET.Element, interface: InterfaceSpec) -> bool:
        type_, source, source_mode = libvirt_domains.where(card)
        if interface.source.is_that_of(type_, source, source_mode):
            return True
        kind, name = interface.source.hangs_on()
        networks = read_networks(self._libvirt.connection()) if kind == "network" else ()
        return any(network.name == name and network.is_shown_as(type_, source) for network in networks)

    @staticmethod
    def _where(domain: libvirt.virDomain, mac: str) -> Text | None:
        """Where a card of a running guest hangs, read back."""
        card = libvirt_domains.card_of(domain, mac, affect=LIVE)
        target = None if card is None else libvirt_domains.target(card)
        return None if target is None else text("On the host the card hangs on %(target)s.", target=target)

    def _unplug(self, domain: DomainRef, mac: str, scopes: list[int], half: Teaming | None) -> bool:
        """Returns whether there was such a card."""
        found = self._domain(domain)
        plugged = {affect: card for affect, card in _plugged(found, mac, half).items() if affect in scopes}
        for affect, card in plugged.items():
            try:
                libvirt_domains.detach_device(found, card, affect=affect)
            except StillPlugged as error:
                sentence = text(
                    "The guest %(guest)s does not let go of the card %(mac)s. A guest that is still booting does so: "
                    "wait until it is up and try again, or shut it down first.",
                    guest=domain.name,
                    mac=mac,
                )
                raise VerbFailed(sentence) from error
        return bool(plugged)

    def _plug_back(
        self, domain: DomainRef, mac: str, halves: Mapping[Teaming | None, Mapping[int, ET.Element]]
    ) -> bool:
        """Returns whether a card was missing. Of a pair, the half that the other names first."""
        found = self._domain(domain)
        was_missing = False
        for half, former in reversed(list(halves.items())):
            there = _plugged(found, mac, half)
            for affect, card in zip(former, _as_configured(former), strict=True):
                if affect not in there:
                    libvirt_domains.attach_device(found, libvirt_domains.new_card_xml(card), affect=affect)
                    was_missing = True
        return was_missing

    def _filter_as(self, domain: DomainRef, mac: str, former: Mapping[int, ET.Element]) -> bool:
        """Returns whether a card bore another filter."""
        found = self._domain(domain)
        there = _on_a_tap(found, mac)
        differ = [affect for affect in former if affect in there and not _filters_alike(former[affect], there[affect])]
        for affect in differ:
            back = libvirt_domains.with_filterref(there[affect], former[affect].find("filterref"))
            libvirt_domains.update_device(found, back, affect=affect)
        return bool(differ)

    def _keep(self, domain: DomainRef, wanted: Mapping[int, str]) -> bool:
        found = self._domain(domain)
        differ = {affect: kept for affect, kept in wanted.items() if _kept(found, affect) != kept}
        for affect, kept in differ.items():
            libvirt_domains.set_metadata(found, kept or None, key="kvmpanel", uri=inbound.NAMESPACE, affect=affect)
        return bool(differ)


def _filters_alike(one: ET.Element, other: ET.Element) -> bool:
    return libvirt_domains.filterref(one) == libvirt_domains.filterref(other)


def _kept(domain: libvirt.virDomain, affect: int) -> str:
    """The document of verbs.keep_inbound_policies that lies in the guest's metadata now."""
    xml = libvirt_domains.live_xml(domain) if affect == LIVE else libvirt_domains.inactive_xml(domain)
    return "" if xml is None else inbound.document(inbound.policies_in(parse(xml)))


def _plugged(domain: libvirt.virDomain, mac: str, half: Half | None = "any") -> dict[int, ET.Element]:
    """The card of that MAC address: LIVE as it is plugged in now, CONFIG as it will be; LIVE first."""
    found = {
        affect: libvirt_domains.card_of(domain, mac, affect=affect, half=half)
        for affect in libvirt_domains.scopes(domain)
    }
    return {affect: card for affect, card in found.items() if card is not None}


def _on_a_tap(domain: libvirt.virDomain, mac: str) -> dict[int, ET.Element]:
    """The same; of a pair the virtio half, which alone can bear a filter."""
    return _plugged(domain, mac, "persistent") or _plugged(domain, mac)


def _halves(domain: libvirt.virDomain, mac: str) -> dict[Teaming | None, dict[int, ET.Element]]:
    """A card on its own, or both halves of a pair, the one that names the other first."""
    order: tuple[Teaming | None, ...] = ("transient", None, "persistent")
    found = {half: _plugged(domain, mac, half) for half in order}
    return {half: cards for half, cards in found.items() if cards}


def _as_configured(plugged: Mapping[int, ET.Element]) -> list[ET.Element]:
    """The same cards; a VF that a network handed out as a card on that network."""
    following = plugged.get(libvirt_domains.CONFIG)
    return [
        following if following is not None and libvirt_domains.is_of_a_pool(card, following) else card
        for card in plugged.values()
    ]
