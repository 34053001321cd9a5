"""What a report does to the rows, whatever order it comes in."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from audit.models import AuditEvent, Outcome
from hosts.models import Host, HostStatus
from networks import operations
from networks.models import Change, ChangeState, Guest, Network, VmInterface
from networks.reports import ReportRefused, expire, record_report
from team.models import User
from tests.panel.factories import (
    DEFAULT_NETWORK,
    LAB_NETWORK,
    Agent,
    host_facts,
    lab_spec,
    nat_spec,
    network_facts,
    web_guest,
)
from virtnet.facts import HostFacts, NetworkFacts
from virtnet.messages import (
    FactsReport,
    Heartbeat,
    OrderArmed,
    OrderFinished,
    OrderProgress,
    OrderReceived,
    OrderRejected,
    Step,
)
from virtnet.messages import (
    Outcome as OrderOutcome,
)
from virtnet.text import text


@pytest.fixture
def change(host: Host, operator: User) -> Change:
    """A definition that was sent."""
    made = operations.define_network(host, nat_spec(), by=operator)
    Change.objects.update(state=ChangeState.SENT, sends=1, sent_at=timezone.now())
    made.refresh_from_db()
    return made


def step(sentence: str) -> Step:
    return Step(text=text(sentence), outcome="done")


def finished(change: Change, outcome: OrderOutcome = "applied") -> OrderFinished:
    steps = (step("Defined."), step("Started."))
    return OrderFinished(order=change.pk, outcome=outcome, steps=steps, before="", after="<network/>")


def bad_reports() -> list[str]:
    return [str(event.detail["why"]) for event in AuditEvent.objects.filter(action="bad-report")]


def send_facts(host: Host, agent: Agent, facts: HostFacts) -> None:
    record_report(host, agent.report(FactsReport(facts=facts)))


def test_an_order_goes_from_received_over_its_steps_to_applied(host: Host, agent: Agent, change: Change) -> None:
    record_report(host, agent.report(OrderReceived(order=change.pk)))
    change.refresh_from_db()
    assert change.state == ChangeState.RUNNING
    assert change.received_at is not None
    record_report(host, agent.report(OrderProgress(order=change.pk, number=0, step=step("Defined."))))
    change.refresh_from_db()
    assert change.read_steps() == (step("Defined."),)
    record_report(host, agent.report(finished(change)))
    change.refresh_from_db()
    assert change.state == ChangeState.APPLIED
    assert change.read_steps() == (step("Defined."), step("Started."))
    event = AuditEvent.objects.get(change_id=change.pk, outcome=Outcome.APPLIED)
    assert (event.actor_name, event.after) == ("olga", "<network/>")


def test_steps_take_no_more_room_than_the_last_report_may(host: Host, agent: Agent, change: Change) -> None:
    large = step("Defined.").model_copy(update={"command": "x" * 1_500_000})
    for number in range(4):
        record_report(host, agent.report(OrderProgress(order=change.pk, number=number, step=large)))
    change.refresh_from_db()
    assert (change.state, len(change.steps)) == (ChangeState.RUNNING, 2)


def armed(change: Change, *, nonce: str = "after-1", seconds: float = 60) -> OrderArmed:
    return OrderArmed(order=change.pk, nonce=nonce, asks="person", seconds=seconds)


def test_an_armed_change_waits_for_its_verdict_until_a_time_by_the_panel_s_clock(
    host: Host, agent: Agent, change: Change
) -> None:
    at = timezone.now() - timedelta(seconds=3)
    record_report(host, agent.report(armed(change, seconds=58.5)), at=at)
    change.refresh_from_db()
    assert (change.state, change.is_open, change.asks, change.confirm_nonce) == ("armed", True, "person", "after-1")
    assert (change.armed_at, change.confirm_by) == (at, at + timedelta(seconds=58.5))
    record_report(host, agent.report(OrderReceived(order=change.pk)))  # it was asked again
    change.refresh_from_db()
    assert change.state == ChangeState.ARMED
    record_report(host, agent.report(OrderProgress(order=change.pk, number=0, step=step("Kept."))))
    change.refresh_from_db()
    assert change.state == ChangeState.RUNNING
    record_report(host, agent.report(finished(change)))
    change.refresh_from_db()
    assert change.state == ChangeState.APPLIED


def test_a_host_that_arms_itself_again_is_told_what_was_decided_already(
    host: Host, agent: Agent, change: Change
) -> None:
    record_report(host, agent.report(armed(change)))
    Change.objects.update(verdict="undo", verdict_sent_at=timezone.now())
    record_report(host, agent.report(armed(change, nonce="after-2")))
    change.refresh_from_db()
    assert (change.confirm_nonce, change.verdict, change.verdict_sent_at) == ("after-2", "undo", None)


def test_a_change_that_has_ended_is_not_armed(host: Host, agent: Agent, change: Change) -> None:
    record_report(host, agent.report(finished(change)))
    record_report(host, agent.report(armed(change)))
    change.refresh_from_db()
    assert change.state == ChangeState.APPLIED


def test_a_report_that_comes_again_changes_nothing(host: Host, agent: Agent, change: Change) -> None:
    reports = [agent.report(OrderReceived(order=change.pk)), agent.report(finished(change))]
    for _ in range(5):
        for report in reports:
            record_report(host, report)
    change.refresh_from_db()
    assert change.state == ChangeState.APPLIED
    assert AuditEvent.objects.filter(outcome=Outcome.APPLIED).count() == 1
    assert bad_reports() == []


@pytest.mark.parametrize("meanwhile", [{"status": HostStatus.REVOKED}, {"public_key": Agent(uuid4()).public_key}])
def test_a_report_whose_host_was_revoked_or_enrolled_anew_meanwhile_is_refused(
    host: Host, agent: Agent, change: Change, meanwhile: dict[str, str]
) -> None:
    Host.objects.update(**meanwhile)  # since the collector looked at the host
    with pytest.raises(ReportRefused, match="not in service with this key"):
        record_report(host, agent.report(finished(change)))
    change.refresh_from_db()
    assert change.state == ChangeState.SENT
    assert Host.objects.get(pk=host.pk).report_seq == 0


def test_an_older_report_after_a_newer_one_changes_nothing(host: Host, agent: Agent, change: Change) -> None:
    received, done = agent.report(OrderReceived(order=change.pk)), agent.report(finished(change))
    record_report(host, done)
    record_report(host, received)
    change.refresh_from_db()
    assert change.state == ChangeState.APPLIED


def test_what_ended_does_not_end_otherwise(host: Host, agent: Agent, change: Change) -> None:
    record_report(host, agent.report(finished(change)))
    record_report(host, agent.report(finished(change)))  # answered again from the journal
    assert bad_reports() == []
    record_report(host, agent.report(finished(change, "failed")))
    change.refresh_from_db()
    assert change.state == ChangeState.APPLIED
    assert "failed" in bad_reports()[0]


def test_a_report_about_another_host_s_order_is_refused_and_recorded(silent_host: Host, change: Change) -> None:
    other = Agent(silent_host.pk)
    record_report(silent_host, other.report(finished(change)))
    change.refresh_from_db()
    assert change.state == ChangeState.SENT
    assert str(change.pk) in bad_reports()[0]


def test_a_report_that_speaks_for_another_host_is_refused(host: Host) -> None:
    with pytest.raises(ReportRefused, match="speaks for"):
        record_report(host, Agent(uuid4()).report(Heartbeat(nonce="n", facts_digest="")))


def test_a_report_about_an_order_that_was_never_sent_is_refused(host: Host, agent: Agent, operator: User) -> None:
    waiting = operations.define_network(host, nat_spec(), by=operator)
    record_report(host, agent.report(finished(waiting)))
    waiting.refresh_from_db()
    assert waiting.state == ChangeState.QUEUED
    assert len(bad_reports()) == 1


@pytest.mark.parametrize("outcome", ["refused", "undone", "failed"])
def test_a_network_that_was_not_made_has_no_row_any_more(
    host: Host, agent: Agent, change: Change, outcome: OrderOutcome
) -> None:
    record_report(host, agent.report(finished(change, outcome)))
    change.refresh_from_db()
    assert change.state == outcome
    assert change.network is not None
    assert change.network.removed_at is not None


def test_a_definition_that_was_thought_expired_is_brought_back(host: Host, agent: Agent, change: Change) -> None:
    expire(change)
    change.refresh_from_db()
    assert change.network is not None
    assert change.network.removed_at is not None
    record_report(host, agent.report(finished(change)))
    change.refresh_from_db()
    assert (change.state, change.network.__class__.objects.get(name="office").removed_at) == ("applied", None)


def test_the_facts_of_a_definition_that_was_thought_expired_may_come_before_its_end(
    host: Host, agent: Agent, change: Change
) -> None:
    expire(change)
    assert change.network is not None
    found = network_facts(nat_spec(), change.network.uuid)
    send_facts(host, agent, host_facts(networks=(*host_facts().networks, found)))
    record_report(host, agent.report(finished(change)))
    assert Network.objects.get(name="office") == change.network  # one row, and the history is its own
    assert Network.objects.get(name="office", removed_at=None).read_facts() == found
    assert bad_reports() == []


def test_an_undefined_network_is_removed(host: Host, agent: Agent, operator: User) -> None:
    change = operations.undefine_network(Network.objects.get(name="lab"), by=operator)
    Change.objects.update(state=ChangeState.SENT, sends=1)
    record_report(host, agent.report(finished(change)))
    assert Network.objects.get(name="lab").removed_at is not None


def test_facts_that_were_read_before_a_network_was_undefined_do_not_bring_it_back_for_good(
    host: Host, agent: Agent, operator: User
) -> None:
    change = operations.undefine_network(Network.objects.get(name="lab"), by=operator)
    Change.objects.update(state=ChangeState.SENT, sends=1)
    record_report(host, agent.report(finished(change)))
    before, after = host_facts(), host_facts(networks=host_facts().networks[:1])
    send_facts(host, agent, after)
    send_facts(host, agent, before)
    send_facts(host, agent, after)
    assert not Network.objects.filter(name="lab", removed_at=None).exists()


def test_a_definition_that_fails_leaves_no_row_though_facts_of_meanwhile_have_its_network(
    host: Host, agent: Agent, change: Change
) -> None:
    assert change.network is not None
    meanwhile = network_facts(nat_spec(), change.network.uuid, active=False)
    send_facts(host, agent, host_facts(networks=(*host_facts().networks, meanwhile)))
    record_report(host, agent.report(finished(change, "undone")))
    send_facts(host, agent, host_facts())
    assert not Network.objects.filter(name="office", removed_at=None).exists()


def test_an_update_that_is_applied_becomes_the_network_s_spec(host: Host, agent: Agent, operator: User) -> None:
    leases = {"first_lease": IPv4Address("192.168.150.10"), "last_lease": IPv4Address("192.168.150.20")}
    wanted = lab_spec().model_copy(update=leases)
    change = operations.update_network(Network.objects.get(name="lab"), wanted, by=operator)
    Change.objects.update(state=ChangeState.SENT, sends=1)
    record_report(host, agent.report(finished(change)))
    assert Network.objects.get(name="lab").read_spec() == wanted


def test_a_rejection_decides_nothing_because_anyone_at_the_broker_can_cause_it(
    host: Host, agent: Agent, change: Change
) -> None:
    record_report(host, agent.report(OrderRejected(order=change.pk, reason="signature")))
    change.refresh_from_db()
    assert change.state == ChangeState.SENT
    assert "signature" in str(change.read_error())
    assert "signature" in bad_reports()[0]


def test_an_order_that_came_too_late_expires(host: Host, agent: Agent, change: Change) -> None:
    Change.objects.update(not_after=timezone.now() - timedelta(seconds=1))
    record_report(host, agent.report(OrderRejected(order=change.pk, reason="too-old")))
    change.refresh_from_db()
    assert change.state == ChangeState.EXPIRED


def test_a_change_that_has_ended_does_not_expire(host: Host, agent: Agent, change: Change) -> None:
    record_report(host, agent.report(finished(change)))
    Change.objects.update(not_after=timezone.now() - timedelta(seconds=1))
    record_report(host, agent.report(OrderRejected(order=change.pk, reason="too-old")))
    change.refresh_from_db()
    assert change.state == ChangeState.APPLIED
    assert not AuditEvent.objects.filter(outcome=Outcome.EXPIRED).exists()


def test_a_heartbeat_brings_a_nonce_and_asks_for_facts_that_differ(host: Host, agent: Agent) -> None:
    record_report(host, agent.report(Heartbeat(nonce="n-2", facts_digest=host.facts_digest)))
    host.refresh_from_db()
    assert (host.nonce, host.ping_wanted) == ("n-2", False)
    record_report(host, agent.report(Heartbeat(nonce="n-3", facts_digest="other")))
    host.refresh_from_db()
    assert host.ping_wanted
    send_facts(host, agent, host_facts())
    host.refresh_from_db()
    assert not host.ping_wanted


def test_a_gap_asks_for_a_full_report(host: Host, agent: Agent) -> None:
    beat = Heartbeat(nonce="n", facts_digest=host.facts_digest)
    record_report(host, agent.report(beat, seq=7))
    host.refresh_from_db()
    assert not host.ping_wanted  # the first one that was ever taken leaves no gap
    record_report(host, agent.report(beat, seq=9))
    host.refresh_from_db()
    assert (host.report_seq, host.ping_wanted) == (9, True)


def test_networks_that_were_found_have_rows(host: Host, agent: Agent) -> None:
    facts = host_facts()
    found = NetworkFacts(name="by-hand", uuid=uuid4(), active=False, mode="route")
    send_facts(host, agent, facts.model_copy(update={"networks": (*facts.networks, found)}))
    row = Network.objects.get(name="by-hand")
    assert (row.is_managed, row.mode, row.read_facts()) == (False, "route", found)


def test_a_network_of_the_panel_that_has_no_row_gets_one_with_its_spec(host: Host, agent: Agent) -> None:
    restored = network_facts(nat_spec(), uuid4())
    send_facts(host, agent, host_facts(networks=(restored,)))
    assert Network.objects.get(name="office").read_spec() == nat_spec()


def test_of_networks_that_are_gone_only_those_that_the_panel_made_keep_a_row(
    host: Host, agent: Agent, operator: User
) -> None:
    operations.start_network(Network.objects.get(name="lab"), by=operator)
    Change.objects.update(state=ChangeState.APPLIED)
    send_facts(host, agent, host_facts(networks=()))
    lab, default = Network.objects.get(name="lab"), Network.objects.get(name="default")
    assert (lab.facts, lab.removed_at) == (None, None)
    assert default.removed_at is not None


def test_a_network_made_anew_by_hand_takes_the_place_of_the_old_row(host: Host, agent: Agent) -> None:
    other = NetworkFacts(name="lab", uuid=uuid4(), active=True, mode="nat")
    send_facts(host, agent, host_facts(networks=(other,)))
    row = Network.objects.get(name="lab", removed_at=None)
    assert (row.uuid, row.is_managed) == (other.uuid, False)


def test_names_that_two_networks_swapped_are_followed(host: Host, agent: Agent) -> None:
    swapped = (
        NetworkFacts(name="lab", uuid=DEFAULT_NETWORK, active=True, mode="nat"),
        network_facts(lab_spec(), LAB_NETWORK).model_copy(update={"name": "default"}),
    )
    send_facts(host, agent, host_facts(networks=swapped))
    rows = {row.name: row.uuid for row in Network.objects.filter(removed_at=None)}
    assert rows == {"lab": DEFAULT_NETWORK, "default": LAB_NETWORK}


def test_facts_that_name_a_network_twice_are_taken_once(host: Host, agent: Agent) -> None:
    twice = tuple(NetworkFacts(name="twin", uuid=UUID(int=n), active=True, mode="nat") for n in (1, 2, 2))
    send_facts(host, agent, host_facts(networks=twice))
    assert Network.objects.filter(removed_at=None).count() == 1


def test_one_found_under_the_name_of_a_network_on_its_way_waits_for_its_end(
    host: Host, agent: Agent, change: Change
) -> None:
    rival = NetworkFacts(name="office", uuid=uuid4(), active=True, mode="nat")
    send_facts(host, agent, host_facts(networks=(rival,)))
    assert Network.objects.get(name="office", removed_at=None) == change.network
    record_report(host, agent.report(finished(change, "refused")))
    assert Network.objects.get(name="office", removed_at=None).uuid == rival.uuid


def test_guests_and_their_cards_are_kept_as_rows(host: Host, agent: Agent) -> None:
    send_facts(host, agent, host_facts(domains=(web_guest("lab"),)))
    assert VmInterface.objects.get(host=host).network_name == "lab"
    assert Guest.objects.get(host=host).name == "web"
    send_facts(host, agent, host_facts(domains=()))
    assert not Guest.objects.filter(host=host).exists()
    assert not VmInterface.objects.filter(host=host).exists()


def test_while_libvirt_cannot_be_read_nothing_counts_as_gone(host: Host, agent: Agent) -> None:
    facts = host_facts(networks=(), domains=()).model_copy(update={"libvirt_error": text("libvirtd is down.")})
    send_facts(host, agent, facts)
    assert Network.objects.filter(removed_at=None, facts__isnull=False).count() == 2
    assert VmInterface.objects.filter(host=host).count() == 1


def test_a_definition_that_fails_because_libvirt_is_down_takes_no_other_network_s_row(
    host: Host, agent: Agent, change: Change
) -> None:
    # As an agent says that was started while libvirtd was down: it knows of none from before.
    facts = host_facts(networks=(), domains=()).model_copy(update={"libvirt_error": text("libvirtd is down.")})
    send_facts(host, agent, facts)
    record_report(host, agent.report(finished(change, "refused")))
    assert set(Network.objects.filter(removed_at=None).values_list("name", flat=True)) == {"default", "lab"}


def test_facts_of_more_than_a_host_can_have_are_refused(host: Host, agent: Agent) -> None:
    many = tuple(NetworkFacts(name=f"n{n}", uuid=UUID(int=n), active=True, mode="nat") for n in range(2_001))
    with pytest.raises(ReportRefused, match="tells of 2001 networks"):
        send_facts(host, agent, host_facts(networks=many))
    assert Network.objects.filter(host=host).count() == 2


def test_bad_reports_fill_the_record_only_so_far(silent_host: Host, change: Change) -> None:
    other = Agent(silent_host.pk)
    for _ in range(50):
        record_report(silent_host, other.report(finished(change)))
    assert len(bad_reports()) == 20


def test_a_heartbeat_neither_reads_nor_writes_the_facts(
    host: Host, agent: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    beat = agent.report(Heartbeat(nonce="n", facts_digest=host.facts_digest))
    with django_assert_num_queries(4) as queries:  # with the savepoint and its release
        record_report(host, beat)
    assert not any('"facts",' in query["sql"] or '"facts" =' in query["sql"] for query in queries)
