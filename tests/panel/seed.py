"""Fills an empty database with made-up hosts, guests, changes and events, to look at the pages while working on them.

    KVMPANEL_DATABASE_URL=sqlite:////tmp/look.sqlite3 python manage.py migrate
    KVMPANEL_DATABASE_URL=sqlite:////tmp/look.sqlite3 python -m tests.panel.seed

Log in as olga (operator) or viktor (viewer) with `correct horse battery staple`.
"""

from __future__ import annotations

from datetime import timedelta

import django

from virtnet.facts import HostFacts

PASSWORD = "correct horse battery staple"


def main() -> None:
    django.setup()
    from team.models import Role, RoleBinding, User

    people = {}
    for name, role in (("olga", Role.OPERATOR), ("viktor", Role.VIEWER)):
        people[name] = User.objects.create_user(username=name, password=PASSWORD)
        RoleBinding.objects.create(user=people[name], role=role)
    _hosts()
    _changes(people["olga"])


def _hosts() -> None:
    from hosts.models import Host, HostStatus
    from tests.panel.factories import host_facts, make_host
    from virtnet.text import text

    make_host("kvm1", facts=_protected())
    make_host("kvm2", silent=True)
    down = host_facts().model_copy(update={"libvirt_error": text("libvirtd does not answer on %(host)s.", host="kvm3")})
    make_host("kvm3", facts=down)
    make_host("kvm4", status=HostStatus.PENDING)
    make_host("kvm6-with-a-rather-long-name-in-the-second-hall", status=HostStatus.REVOKED)
    Host.objects.create(name="kvm5")


def _protected() -> HostFacts:
    """A host with a filter and a policy on its guest's card, and with Docker beside them."""
    from tests.panel.factories import WEB_MAC, host_facts, web_guest
    from virtnet.facts import Filtering, InboundFacts
    from virtnet.inbound import InboundPolicy, read_ports

    lines = ("22/tcp", "80/tcp", "8000-8100/tcp from 10.0.0.0/8, 192.168.0.0/16")
    policy = InboundPolicy(open=tuple(read_ports(line) for line in lines))
    card = (
        web_guest()
        .interfaces[0]
        .model_copy(update={"filter": "clean-traffic", "filter_parameters": (("IP", "192.168.122.50"),)})
    )
    kept = InboundFacts(mac=WEB_MAC, policy=policy.model_dump_json(), loaded=True)
    web = web_guest().model_copy(update={"interfaces": (card,), "inbound": (kept,)})
    found = host_facts()
    filtering = Filtering(dropping=("ip filter FORWARD",), docker=True, br_netfilter=True, accept_ra=("eth0",))
    return found.model_copy(update={"domains": (web, *found.domains[1:]), "filtering": filtering})


def _changes(olga: object) -> None:
    from django.utils import timezone

    from hosts.models import Host
    from networks import operations
    from networks.models import Change, ChangeState, Network
    from team.models import User
    from tests.panel.factories import FOREIGN_XML, arm, lab_spec, make_host, nat_spec, web_guest
    from virtnet.interface import InterfaceSpec, NetworkSource
    from virtnet.messages import Step
    from virtnet.modes.bridge import Bridge
    from virtnet.plan import plan
    from virtnet.text import text

    assert isinstance(olga, User)
    kvm1, kvm2 = Host.objects.get(name="kvm1"), Host.objects.get(name="kvm2")
    facts: HostFacts = kvm1.read_facts()
    done = operations.define_network(kvm1, nat_spec("office"), by=olga)
    steps = [Step(text=verb.text, command=verb.command, outcome="done") for verb in plan(done.read_action(), facts)]
    Change.objects.filter(pk=done.pk).update(
        state=ChangeState.APPLIED,
        finished_at=timezone.now(),
        steps=[step.model_dump(mode="json") for step in steps],
        after=FOREIGN_XML,
        before=FOREIGN_XML.replace("192.168.122.1", "192.168.121.1"),
    )
    failed = operations.start_network(Network.objects.get(host=kvm1, name="default"), by=olga)
    broken = Step(
        text=text("Start the network %(network)s.", network="default"),
        command="virsh net-start default",
        outcome="failed",
        detail=text("internal error: Network is already in use by interface %(link)s", link="virbr0"),
    )
    Change.objects.filter(pk=failed.pk).update(
        state=ChangeState.UNDONE,
        finished_at=timezone.now(),
        error=text("The network could not be started.").model_dump(mode="json"),
        steps=[
            *(step.model_dump(mode="json") for step in steps[:2]),
            broken.model_dump(mode="json"),
            steps[1].model_copy(update={"outcome": "undone"}).model_dump(mode="json"),
        ],
    )
    running = operations.attach_interface(
        kvm1, web_guest(), InterfaceSpec(source=NetworkSource(network="lab"), mac="52:54:00:00:00:77"), by=olga
    )
    Change.objects.filter(pk=running.pk).update(
        state=ChangeState.RUNNING, not_after=timezone.now() + timedelta(hours=1), sends=1
    )
    operations.define_network(kvm2, nat_spec("branch", number=88), by=olga)
    bridge = Bridge(name="lan", bridge="br0", uplink="eth1", lasts=False)
    armed = arm(operations.define_network(make_host("kvm7"), bridge, by=olga), seconds=1800)
    done_so_far = [
        Step(text=verb.text, command=verb.command, outcome="done") for verb in plan(armed.read_action(), facts)
    ]
    Change.objects.filter(pk=armed.pk).update(steps=[step.model_dump(mode="json") for step in done_so_far[:3]])
    operations.set_network_autostart(Network.objects.get(host=kvm1, name=lab_spec().name), False, by=olga)


if __name__ == "__main__":
    main()
