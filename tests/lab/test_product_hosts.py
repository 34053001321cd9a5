"""A host whose libvirtd is down, that is cut off, or that is no longer trusted."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import urlsplit

import pytest
import redis

from lab.browser import FormRefused
from tests.lab.network_events import DEFINED, network_events
from tests.lab.person import seconds_until
from tests.lab.product import Product

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


def test_a_change_says_that_libvirtd_is_down_and_is_applied_when_tried_again(product: Product) -> None:
    host, person = product.lab.hosts[0], product.person
    page = f"/hosts/{host.name}/"
    agent_starts = product.service("agent-hosta").starts
    host.stop_libvirtd()
    try:
        shown = seconds_until(lambda: person.sees(page, "libvirtd does not answer"), 15)
        change = person.make_network(host, "again")
        person.await_state(change, "refused", within=15)
        assert person.sees(f"/changes/{change}/", "libvirtd does not answer")
        assert person.sees(f"/changes/{change}/", "Start it, e.g.")
    finally:
        host.start_libvirtd()
    host.libvirt().getVersion()  # answers once libvirtd has tried QEMU out: until then it says nothing of guests
    back = seconds_until(lambda: not person.sees(page, "libvirtd does not answer"), 15)
    applied = person.await_state(person.try_again(change), "applied", within=30)
    print(f"libvirtd down: shown after {shown:.1f} s, back after {back:.1f} s, tried again in {applied:.1f} s")
    assert product.service("agent-hosta").starts == agent_starts


def test_a_host_that_is_cut_off_is_silent_and_slows_nobody_and_catches_up(product: Product) -> None:
    cut_off, other, person = product.lab.hosts[1], product.lab.hosts[0], product.person
    page = f"/hosts/{cut_off.name}/"
    with network_events(cut_off) as happened:
        cut_off.cut_off()
        try:
            first = person.make_network(cut_off, "sent-into-the-void")
            silent = seconds_until(lambda: person.sees(page, "This host is silent"), 45, every=0.5)
            second = person.make_network(cut_off, "asked-of-a-silent-host")
            pages = [person.browser.look(path) for path in ("/", page, f"/hosts/{other.name}/", "/changes/", "/audit/")]
            for change in (first, second):
                assert person.state(change) in {"queued", "sent"}
                assert person.sees(f"/changes/{change}/", "is silent, so this waits for it")
            elsewhere = person.await_state(person.make_network(other, "meanwhile"), "applied", within=5)
        finally:
            cut_off.reconnect()
        applied = seconds_until(lambda: {person.state(first), person.state(second)} == {"applied"}, 10)
        seconds_until(lambda: not person.sees(page, "This host is silent"), 15)
    slowest = max(answer.seconds for answer in pages)
    print(
        f"cut off: silent after {silent:.0f} s, slowest page {slowest * 1000:.0f} ms, "
        f"change on another host {elsewhere:.1f} s, both changes applied {applied:.1f} s after reconnecting"
    )
    assert {answer.status for answer in pages} == {200}
    assert slowest < 1
    assert happened[DEFINED, "sent-into-the-void"] == 1
    assert happened[DEFINED, "asked-of-a-silent-host"] == 1


def test_a_revoked_host_is_shut_out_at_once_and_let_in_again_only_by_a_new_enrolment(product: Product) -> None:
    host, person = product.lab.hosts[1], product.person
    user = f"kvm-{product.host_id(host)}"
    url = urlsplit(json.loads(host.run(["cat", "/etc/kvmagent/agent.json"]).stdout)["redis_url"])
    socket = str(product.panel.redis.socket)
    stolen = redis.Redis(unix_socket_path=socket, username=url.username, password=url.password)
    assert user in users_connected(product)
    assert stolen.ping()
    stolen.close()

    asked = time.monotonic()
    person.browser.post(f"/hosts/{host.name}/revoke/", {})
    seconds_until(lambda: user not in product.redis.acl_users() and user not in users_connected(product), 5)
    shut_out = time.monotonic() - asked
    with pytest.raises(redis.AuthenticationError):
        stolen.ping()
    assert person.sees(f"/hosts/{host.name}/", "This host is revoked")
    with pytest.raises(FormRefused, match="hostb takes no orders: it is revoked"):
        person.make_network(host, "for-a-revoked-host")
    assert product.panel.rows("SELECT 1 FROM networks_network WHERE name = 'for-a-revoked-host'") == []

    product.service("agent-hostb").down()
    answer = person.browser.submit(f"/hosts/{host.name}/token/", {})
    token = re.search(r"--token ([\w-]+)", answer.page)
    assert token is not None
    product.panel.enrol(host, token.group(1))
    applied = person.await_state(person.make_network(host, "trusted-again"), "applied", within=15)
    print(f"revoked: shut out after {shut_out:.2f} s; enrolled anew, a change is applied in {applied:.1f} s")


def users_connected(product: Product) -> set[str]:
    return {str(client["user"]) for client in product.redis.client_list()}
