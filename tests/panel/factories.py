"""Made-up hosts, facts, keys and reports for the panel's tests."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from hosts.models import Host, HostStatus
from hosts.public_key import fingerprint
from networks.models import Change, ChangeState, Guest, Network, VmInterface
from virtnet.envelope import seal
from virtnet.facts import (
    DomainFacts,
    FilterFacts,
    HostFacts,
    InterfaceAddress,
    InterfaceFacts,
    Lease,
    NetworkFacts,
    Versions,
)
from virtnet.link_facts import Link, Route, Vf
from virtnet.messages import AnyReport, Report
from virtnet.modes.host_only import HostOnly
from virtnet.modes.nat import Nat
from virtnet.refs import NetworkRef
from virtnet.vf import VfAttributes

DEFAULT_NETWORK = UUID("00000000-0000-4000-8000-00000000d000")  # libvirt's own `default`: not of the panel
LAB_NETWORK = UUID("00000000-0000-4000-8000-00000000d001")  # of the panel
WEB_GUEST = UUID("00000000-0000-4000-8000-00000000a001")
DB_GUEST = UUID("00000000-0000-4000-8000-00000000a002")
WEB_MAC = "52:54:00:00:00:01"

FOREIGN_XML = """<network>
  <name>default</name>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='on' delay='0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'/>
</network>
"""


def lab_spec() -> HostOnly:
    """The spec of the panel's network in `host_facts`."""
    return HostOnly(name="lab", bridge="virbr1", host_address=IPv4Interface("192.168.150.1/24"))


def nat_spec(name: str = "office", *, number: int = 77) -> Nat:
    """A NAT network that a host of `host_facts` has room for."""
    return Nat(
        name=name,
        bridge=f"virbr{number}",
        gateway=IPv4Interface(f"192.168.{number}.1/24"),
        first_lease=IPv4Address(f"192.168.{number}.10"),
        last_lease=IPv4Address(f"192.168.{number}.200"),
    )


def network_facts(spec: Nat | HostOnly, uuid: UUID, *, active: bool = True) -> NetworkFacts:
    """A network as the agent finds it after it has made `spec`."""
    subnet = spec.gateway if isinstance(spec, Nat) else spec.host_address
    return NetworkFacts(
        name=spec.name,
        uuid=uuid,
        active=active,
        autostart=True,
        mode=spec.mode,
        bridge=spec.bridge,
        subnets=(subnet,),
        spec=spec.model_dump_json(),
        xml=spec.libvirt_xml(NetworkRef(uuid=uuid, name=spec.name)),
    )


def host_facts(
    *, networks: tuple[NetworkFacts, ...] | None = None, domains: tuple[DomainFacts, ...] | None = None
) -> HostFacts:
    """A host with an uplink, a bridge, a PF, libvirt's `default`, the panel's `lab`, a running and a stopped guest."""
    default = NetworkFacts(
        name="default",
        uuid=DEFAULT_NETWORK,
        active=True,
        autostart=True,
        mode="nat",
        bridge="virbr0",
        subnets=(IPv4Interface("192.168.122.1/24"),),
        leases=(Lease(mac=WEB_MAC, address=IPv4Address("192.168.122.50"), hostname="web"),),
        xml=FOREIGN_XML,
    )
    vf = Vf(index=0, pci_address="0000:01:10.0", driver="igbvf", link="eth1v0", vlan=7, wanted=VfAttributes(vlan=42))
    return HostFacts(
        hostname="kvm1",
        versions=Versions(kernel="6.1.0", libvirt="9.0.0", qemu="7.2.0", kvmagent="0.1.0"),
        links=(
            Link(name="lo", index=1, up=True, operstate="UNKNOWN"),
            Link(
                name="eth0",
                index=2,
                mac="52:54:00:aa:00:01",
                mtu=1500,
                up=True,
                operstate="UP",
                addresses=(IPv4Interface("10.77.0.11/24"),),
                speed=1000,
                driver="e1000e",
                pci_address="0000:00:02.0",
            ),
            Link(
                name="eth1",
                index=3,
                mac="52:54:00:aa:00:02",
                mtu=1500,
                up=True,
                operstate="UP",
                totalvfs=8,
                numvfs=1,
                vfs=(vf,),
            ),
            Link(name="virbr0", index=4, kind="bridge", mtu=1500, up=True, operstate="UP"),
            Link(name="virbr1", index=5, kind="bridge", mtu=1500, up=True, operstate="UP"),
            Link(name="vnet0", index=6, kind="tun", master="virbr0", up=True, operstate="UP"),
        ),
        routes=(Route(dst=IPv4Network("0.0.0.0/0"), gateway=IPv4Address("10.77.0.1"), dev="eth0"),),
        networks=(default, network_facts(lab_spec(), LAB_NETWORK)) if networks is None else networks,
        domains=(web_guest(), DomainFacts(name="db", uuid=DB_GUEST, state="shut off")) if domains is None else domains,
        filters=(
            FilterFacts(name="clean-traffic", variables=("IP", "MAC")),
            FilterFacts(name="clean-traffic-gateway", variables=("GATEWAY_MAC", "IP", "MAC")),
            FilterFacts(name="of-the-office", variables=("FLOOR",)),
        ),
    )


def web_guest(network: str = "default") -> DomainFacts:
    """A running guest with one card."""
    address = InterfaceAddress(address=IPv4Interface("192.168.122.50/24"), source="lease")
    card = InterfaceFacts(
        mac=WEB_MAC, type="network", source=network, target="vnet0", model="virtio", addresses=(address,)
    )
    return DomainFacts(name="web", uuid=WEB_GUEST, state="running", interfaces=(card,))


@dataclass
class Agent:
    """The host's side of the channel: its key and how far it has counted."""

    host: UUID
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    seq: int = 0

    @property
    def public_key(self) -> str:
        return base64.b64encode(self.key.public_key().public_bytes_raw()).decode()

    def report(self, report: AnyReport, *, seq: int | None = None) -> Report:
        """The next report of this host; with `seq`, that one (again, or out of order)."""
        if seq is None:
            self.seq += 1
            seq = self.seq
        return Report(host=self.host, seq=seq, at=timezone.now(), report=report)

    def sealed(self, report: Report) -> str:
        return seal(report, "report", key=fingerprint(self.key.public_key()), sign=self.key.sign)


def make_host(
    name: str = "kvm1",
    *,
    status: HostStatus = HostStatus.ACTIVE,
    facts: HostFacts | None = None,
    agent: Agent | None = None,
    silent: bool = False,
) -> Host:
    """A host as it stands after an agent has enrolled, been approved and reported `facts` (default: host_facts())."""
    now = timezone.now()
    identity = agent.host if agent else uuid4()
    reported = facts if facts is not None else host_facts()
    at = now - timedelta(hours=1) if silent else now
    host = Host(
        id=identity,
        name=name,
        status=status,
        public_key=(agent or Agent(identity)).public_key,
        redis_password_sha256="0" * 64,
        enrolled_at=now,
        last_report_at=at,
        nonce="nonce-1",
        nonce_at=at,
    )
    host.keep_facts(reported, at)
    host.save(force_insert=True)
    _rows_of(host, reported)
    return host


def arm(change: Change, *, seconds: float = 60) -> Change:
    """The change as it stands once its host has armed itself, with so many seconds left to decide."""
    now = timezone.now()
    Change.objects.filter(pk=change.pk).update(
        state=ChangeState.ARMED,
        sends=1,
        sent_at=now,
        received_at=now,
        heard_at=now,
        asks="person",
        armed_at=now,
        confirm_by=now + timedelta(seconds=seconds),
        confirm_nonce="after-1",
    )
    change.refresh_from_db()
    return change


def _rows_of(host: Host, facts: HostFacts) -> None:
    for network in facts.networks:
        Network.objects.create(
            id=network.uuid if network.managed and not Network.objects.filter(pk=network.uuid).exists() else uuid4(),
            host=host,
            uuid=network.uuid,
            name=network.name,
            mode=network.mode[:40],
            spec=lab_spec().model_dump(mode="json") if network.name == "lab" else None,
            facts=network.model_dump(mode="json"),
        )
    for domain in facts.domains:
        Guest.objects.create(host=host, uuid=domain.uuid, name=domain.name)
        for card in domain.interfaces:
            VmInterface.objects.create(
                host=host,
                domain_uuid=domain.uuid,
                domain_name=domain.name,
                mac=card.mac[:17],
                network_name=card.source or "" if card.type == "network" else "",
                facts=card.model_dump(mode="json"),
            )
