"""Rows outlive versions: what another version of the panel or of an agent stored never breaks a page."""

from __future__ import annotations

import pytest
from django.test import Client

from hosts.models import Host
from networks.models import Network

pytestmark = pytest.mark.django_db


def pages(host: Host) -> list[str]:
    network = Network.objects.filter(host=host).first()
    assert network is not None
    return ["/", f"/hosts/{host.name}/", f"/hosts/{host.name}/networks/new/nat/", f"/networks/{network.pk}/"]


def test_facts_of_a_newer_version_are_read_without_what_is_unknown(operator_client: Client, host: Host) -> None:
    assert host.facts is not None
    host.facts["turbo"] = {"new": True}
    host.facts["links"][0]["colour"] = "blue"
    host.save()
    assert len(host.read_facts().links) == len(host.facts["links"])
    assert [operator_client.get(page).status_code for page in pages(host)] == [200] * 4


def test_facts_that_cannot_be_read_are_told_and_break_no_page(operator_client: Client, host: Host) -> None:
    Host.objects.filter(pk=host.pk).update(facts={"links": [{"title": "eth0"}]})
    Network.objects.filter(host=host).update(facts={"name": 7})
    assert [operator_client.get(page).status_code for page in pages(host)] == [200] * 4
    assert "came from another version" in operator_client.get(f"/hosts/{host.name}/").content.decode()
