"""What others do on a host is seen at once and left alone; of two people who want the same, one gets it."""

from __future__ import annotations

import json
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import libvirt
import pytest

from lab import LabHost
from lab.browser import FormRefused
from lab.database import Database
from tests.lab.person import Person, seconds_until
from tests.lab.product import Product

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

SEEN_WITHIN = 2.0
DRIFT_SHOWN_WITHIN = 15.0
FOREIGN = "The panel did not make this network."


def test_what_happens_on_a_host_is_in_the_database_within_2_s(product: Product) -> None:
    host = product.lab.hosts[0]
    default = product.person.network_id(host, "default")
    with product.panel.database() as database:
        host.run(["virsh", "net-start", "default"])
        try:
            started = seconds_until(lambda: network_facts(database, default)["active"] is True, SEEN_WITHIN, every=0.02)
            host.run(["ip", "link", "add", "seen0", "type", "bridge"])
            added = seconds_until(lambda: "seen0" in links(database, host), SEEN_WITHIN, every=0.02)
            host.run(["ip", "link", "delete", "seen0"])
            gone = seconds_until(lambda: "seen0" not in links(database, host), SEEN_WITHIN, every=0.02)
            with product.lab.probe(host, "virbr0", "lessee") as probe:
                taken = time.monotonic()
                address = str(probe.address).partition("/")[0]
                seconds_until(lambda: address in leases(database, default), SEEN_WITHIN, every=0.02)
                leased = time.monotonic() - taken
        finally:
            host.run(["virsh", "net-destroy", "default"])
        stopped = seconds_until(lambda: network_facts(database, default)["active"] is False, SEEN_WITHIN, every=0.02)
    print(
        f"in the database: network started {started:.2f} s, stopped {stopped:.2f} s; "
        f"link added {added:.2f} s, gone {gone:.2f} s; lease {leased:.2f} s"
    )


def test_a_foreign_network_is_started_and_stopped_on_request_and_never_edited(product: Product) -> None:
    host, person = product.lab.hosts[0], product.person
    default = person.network_id(host, "default")
    before = document(host), definition(host)
    person.await_state(person.start_network(default), "applied", within=30)
    assert look_up(host).isActive()
    seconds_until(lambda: network_facts_of(product, default)["active"] is True, SEEN_WITHIN)
    person.await_state(person.stop_network(default), "applied", within=30)
    assert not look_up(host).isActive()

    assert person.sees(f"/networks/{default}/", FOREIGN)
    assert person.sees(f"/networks/{default}/", "to edit or undefine it, use the tool that made it")
    for forbidden in ("edit", "undefine"):
        assert f"/networks/{default}/{forbidden}/" not in person.browser.look(f"/networks/{default}/").page
        assert person.browser.look(f"/networks/{default}/{forbidden}/").status == 404
        assert person.browser.submit(f"/networks/{default}/{forbidden}/", {"name": "default"}).status == 404
    assert (document(host), definition(host)) == before


def test_what_somebody_does_to_a_network_of_the_panel_is_on_its_page(product: Product) -> None:
    host, person = product.lab.hosts[0], product.person
    person.await_state(person.make_network(host, "edited"), "applied", within=30)
    network = person.network_id(host, "edited")
    person.await_found(network, within=30)
    page = f"/networks/{network}/"
    document = "Another tool has changed libvirt&#x27;s document of edited."
    rules = "somebody has flushed or changed them."
    assert not person.sees(page, document)
    assert not person.sees(page, rules)

    host.run(["env", "EDITOR=sed -i s/br-/other-/", "virsh", "net-edit", "edited"])
    edited = seconds_until(lambda: person.sees(page, document), DRIFT_SHOWN_WITHIN)
    host.run(["nft", "delete", "table", "inet", "kvmpanel"])
    flushed = seconds_until(lambda: person.sees(page, rules), DRIFT_SHOWN_WITHIN)
    print(f"on the page: the document edited {edited:.2f} s, the rules flushed {flushed:.2f} s")
    assert person.sees(f"/hosts/{host.name}/", "changed on the host")

    person.await_state(person.undefine_network(network), "applied", within=30)


def test_of_two_people_who_want_the_same_name_one_gets_it_and_the_other_is_told(product: Product) -> None:
    host = product.lab.hosts[0]
    password = secrets.token_urlsafe(12)
    product.panel.manage("add_user", "second", "--role=operator", "--password-stdin", input=password)
    people = [product.person, Person(product.panel, "second", password)]
    at_once = threading.Barrier(len(people))

    def want(person: Person) -> UUID | FormRefused:
        at_once.wait(timeout=10)
        try:
            return person.make_network(host, "wanted-by-both")
        except FormRefused as refused:
            return refused

    with ThreadPoolExecutor(len(people)) as threads:
        answers = list(threads.map(want, people))
    changes = [answer for answer in answers if isinstance(answer, UUID)]
    refusals = [str(answer) for answer in answers if isinstance(answer, FormRefused)]
    assert len(changes) == 1
    assert len(refusals) == 1
    assert "A network wanted-by-both of hosta is there or on its way. Choose another name." in refusals[0]
    product.person.await_state(changes[0], "applied", within=30)
    count = "SELECT count(*) FROM networks_change c JOIN networks_network n ON n.id = network_id WHERE name = %s"
    assert product.panel.rows(count, "wanted-by-both") == [(1,)]


def network_facts(database: Database, network: UUID) -> dict[str, object]:
    ((facts,),) = database.rows("SELECT facts::text FROM networks_network WHERE id = %s", network)
    found: dict[str, object] = json.loads(facts)
    return found


def network_facts_of(product: Product, network: UUID) -> dict[str, object]:
    with product.panel.database() as database:
        return network_facts(database, network)


def leases(database: Database, network: UUID) -> list[str]:
    found = network_facts(database, network)["leases"]
    assert isinstance(found, list)
    return [lease["address"] for lease in found]


def links(database: Database, host: LabHost) -> list[str]:
    ((found,),) = database.rows("SELECT (facts -> 'links')::text FROM hosts_host WHERE name = %s", host.name)
    return [link["name"] for link in json.loads(found)]


def look_up(host: LabHost) -> libvirt.virNetwork:
    return host.libvirt().networkLookupByName("default")


def document(host: LabHost) -> str:
    """What libvirtd says of the stock network's definition."""
    return str(look_up(host).XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE))


def definition(host: LabHost) -> bytes:
    """Its file on the host."""
    return (host.state_dir / "root/etc/libvirt/qemu/networks/default.xml").read_bytes()
