"""The verbs on libvirt networks."""

from __future__ import annotations

import libvirt

from kvmagent import libvirt_domains, libvirt_networks, links
from kvmagent.libvirt_connection import Libvirt
from kvmagent.steps import Steps, VerbFailed
from virtnet import network_xml_changes, verbs
from virtnet.refs import NetworkRef
from virtnet.text import Text, text


class NetworkVerbs:
    def __init__(self, libvirt: Libvirt, steps: Steps) -> None:
        self._libvirt = libvirt
        self._steps = steps

    def define(self, network: NetworkRef, xml: str) -> None:
        verb = verbs.define_network(network, xml)
        with self._steps.doing(verb):
            connection = self._libvirt.connection()
            found = libvirt_networks.find(connection, network)
            if found is None and libvirt_networks.find_name(connection, network.name) is not None:
                sentence = text(
                    "This host has another network %(network)s already. Choose another name.", network=network.name
                )
                raise VerbFailed(sentence)
            if found is None:
                self._steps.push(verbs.undefine_network(network), lambda: self._undefine(network))
            else:
                former = libvirt_networks.inactive_xml(found)
                if found.isPersistent() and network_xml_changes.holds(former, xml):
                    self._steps.already_so(verb)
                    return
                if found.isActive():
                    sentence = text(
                        "The network %(network)s runs already, with other settings. Update it instead.",
                        network=network.name,
                    )
                    raise VerbFailed(sentence)
                self._steps.push(verbs.define_network(network, former), lambda: self._define(former))
            libvirt_networks.define(connection, xml)
            self._steps.done(verb)

    def update(self, network: NetworkRef, xml: str) -> None:
        """For good, and in the running network as gently as libvirt can: its DHCP range alone is swapped while it runs.

        Else it is restarted, when no running guest is plugged in: libvirt would leave their taps on no bridge.
        """
        verb = verbs.update_network(network, xml)
        with self._steps.doing(verb):
            found = self._network(network)
            former = libvirt_networks.inactive_xml(found)
            if network_xml_changes.holds(former, xml) and _live_change(found) == "nothing":
                self._steps.already_so(verb)
                return
            self._steps.push(verbs.update_network(network, former), lambda: self._bring(network, former))
            libvirt_networks.define(self._libvirt.connection(), network_xml_changes.with_mac_of(former, xml))
            self._steps.done(verb, self._make_live(network))

    def set_autostart(self, network: NetworkRef, autostart: bool) -> None:
        verb = verbs.set_autostart(network, autostart)
        with self._steps.doing(verb):
            found = self._network(network)
            if bool(found.autostart()) == autostart:
                self._steps.already_so(verb)
                return
            back = verbs.set_autostart(network, not autostart)
            self._steps.push(back, lambda: self._set_autostart(network, not autostart))
            found.setAutostart(int(autostart))
            self._steps.done(verb)

    def start(self, network: NetworkRef) -> None:
        verb = verbs.start_network(network)
        with self._steps.doing(verb):
            found = self._network(network)
            if found.isActive():
                self._steps.already_so(verb)
                return
            forwarding = links.ip_forward()
            self._steps.push(verbs.destroy_network(network), lambda: self._destroy(network, forwarding))
            found.create()
            self._steps.done(verb)

    def destroy(self, network: NetworkRef) -> None:
        verb = verbs.destroy_network(network)
        with self._steps.doing(verb):
            found = libvirt_networks.find(self._libvirt.connection(), network)
            if found is None or not found.isActive():
                self._steps.already_so(verb)
                return
            self._steps.push(verbs.start_network(network), lambda: self._create(network))
            found.destroy()
            self._steps.done(verb)

    def undefine(self, network: NetworkRef) -> None:
        verb = verbs.undefine_network(network)
        with self._steps.doing(verb):
            found = libvirt_networks.find(self._libvirt.connection(), network)
            if found is None or not found.isPersistent():
                self._steps.already_so(verb)
                return
            former, autostart = libvirt_networks.inactive_xml(found), bool(found.autostart())
            back = verbs.define_network(network, former)
            self._steps.push(back, lambda: self._define_again(network, former, autostart))
            found.undefine()
            self._steps.done(verb)

    def _network(self, network: NetworkRef) -> libvirt.virNetwork:
        found = libvirt_networks.find(self._libvirt.connection(), network)
        if found is None:
            raise VerbFailed(text("This host has no network %(network)s any more.", network=network.name))
        return found

    def _make_live(self, network: NetworkRef) -> Text | None:
        """Bring a running network to its document for the next start; tells how."""
        found = self._network(network)
        change = _live_change(found)
        if change == "nothing":
            return None
        live, following = found.XMLDesc(0), libvirt_networks.inactive_xml(found)
        if change == "range":
            libvirt_networks.replace_range(
                found, network_xml_changes.range_in(live), network_xml_changes.range_in(following)
            )
            return text("The DHCP range was changed while the network runs.")
        if guests := libvirt_domains.plugged_into(self._libvirt.connection(), found.name()):
            sentence = text(
                "The network %(network)s must be restarted for this, and running guests are plugged into it: "
                "%(guests)s. Unplug their cards or shut them down first.",
                network=network.name,
                guests=", ".join(guests),
            )
            raise VerbFailed(sentence)
        found.destroy()
        found.create()
        return text("The network was restarted; no running guest was plugged into it.")

    # The ways back. Each looks first: what it takes back may never have come about.

    def _define(self, xml: str) -> bool:
        libvirt_networks.define(self._libvirt.connection(), xml)
        return True

    def _bring(self, network: NetworkRef, xml: str) -> bool:
        self._define(xml)
        self._make_live(network)
        return True

    def _define_again(self, network: NetworkRef, xml: str, autostart: bool) -> bool:
        self._define(xml)
        return self._set_autostart(network, autostart)

    def _undefine(self, network: NetworkRef) -> bool:
        found = libvirt_networks.find(self._libvirt.connection(), network)
        if found is None or not found.isPersistent():
            return False
        found.undefine()
        return True

    def _set_autostart(self, network: NetworkRef, autostart: bool) -> bool:
        self._network(network).setAutostart(int(autostart))
        return True

    def _create(self, network: NetworkRef) -> bool:
        found = self._network(network)
        if found.isActive():
            return False
        found.create()
        return True

    def _destroy(self, network: NetworkRef, forwarding: str) -> bool:
        found = libvirt_networks.find(self._libvirt.connection(), network)
        was_active = found is not None and bool(found.isActive())
        if found is not None and was_active:
            found.destroy()
        # libvirt turns net.ipv4.ip_forward on when it starts a network that forwards, also when the start then fails,
        # and never off again.
        was_turned_on = links.ip_forward() != forwarding
        if was_turned_on:
            links.set_ip_forward(forwarding)
        return was_active or was_turned_on


def _live_change(network: libvirt.virNetwork) -> str:
    if not network.isActive():
        return "nothing"
    return network_xml_changes.change(network.XMLDesc(0), libvirt_networks.inactive_xml(network))
