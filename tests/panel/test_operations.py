"""What each operation writes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import AuditEvent, Outcome
from hosts.models import Host, HostStatus
from networks import operations
from networks.models import Change, ChangeState, Network
from networks.operations import OperationRefused, record_report
from team.models import Role, RoleBinding, User
from tests.panel.factories import DB_GUEST, WEB_GUEST, WEB_MAC, Agent, host_facts, make_host, nat_spec
from virtnet.actions import AttachInterface, DefineNetwork, DetachInterface, UpdateNetwork
from virtnet.facts import DomainFacts
from virtnet.interface import InterfaceSpec, NetworkSource
from virtnet.messages import OrderFinished

FREE_MAC = "52:54:00:12:34:56"


def network(host: Host, name: str) -> Network:
    return Network.objects.get(host=host, name=name)


def guest(host: Host, uuid: object) -> DomainFacts:
    return next(domain for domain in host.read_facts().domains if domain.uuid == uuid)


def fields(refusal: pytest.ExceptionInfo[OperationRefused]) -> list[str]:
    return [problem.field for problem in refusal.value.problems]


def test_define_writes_the_network_the_change_and_the_audit_event(host: Host, operator: User) -> None:
    change = operations.define_network(host, nat_spec(), by=operator)

    row = network(host, "office")
    assert (row.mode, row.uuid, row.facts, row.read_spec()) == ("nat", row.pk, None, nat_spec())
    change.refresh_from_db()
    assert (change.state, change.seq, change.by, change.network) == ("queued", 1, operator, row)
    action = change.read_action()
    assert isinstance(action, DefineNetwork)
    assert (action.network.uuid, action.spec) == (row.uuid, nat_spec())
    assert change.facts_digest == host.facts_digest
    event = AuditEvent.objects.get()
    assert (event.action, event.outcome, event.actor_name) == ("define-network", Outcome.REQUESTED, "olga")
    assert (event.host_name, event.object_type, event.object_name) == ("kvm1", "network", "office")
    assert event.change_id == change.pk


def test_it_counts_the_orders_of_each_host_by_itself(host: Host, silent_host: Host, operator: User) -> None:
    made = [
        operations.define_network(where, nat_spec(f"net{number}", number=number), by=operator)
        for number, where in enumerate([host, host, silent_host], start=10)
    ]
    assert [change.seq for change in made] == [1, 2, 1]


def test_a_silent_host_may_be_given_an_order(silent_host: Host, operator: User) -> None:
    assert operations.define_network(silent_host, nat_spec(), by=operator).state == ChangeState.QUEUED


@pytest.mark.parametrize("status", [HostStatus.WAITING, HostStatus.PENDING, HostStatus.REVOKED])
def test_it_refuses_a_host_that_is_not_active(operator: User, status: HostStatus) -> None:
    host = make_host("kvm9", status=status)
    with pytest.raises(OperationRefused, match="takes no orders"):
        operations.define_network(host, nat_spec(), by=operator)
    assert not Change.objects.exists()
    assert not AuditEvent.objects.exists()
    assert not Network.objects.filter(name="office").exists()


def test_it_refuses_a_host_that_has_never_reported(host: Host, operator: User) -> None:
    Host.objects.update(facts=None)
    with pytest.raises(OperationRefused, match="has not yet said"):
        operations.define_network(host, nat_spec(), by=operator)


def test_it_refuses_what_the_spec_finds_in_the_way_and_keeps_nothing(host: Host, operator: User) -> None:
    with pytest.raises(OperationRefused) as refusal:
        operations.define_network(host, nat_spec(number=122), by=operator)
    assert fields(refusal) == ["gateway"]
    assert not Network.objects.filter(name="office").exists()
    host.refresh_from_db()
    assert host.order_seq == 0


def test_a_name_that_is_on_its_way_already_is_refused_at_the_name(host: Host, operator: User) -> None:
    operations.define_network(host, nat_spec(number=77), by=operator)
    with pytest.raises(OperationRefused) as refusal:
        operations.define_network(host, nat_spec(number=78), by=operator)
    assert fields(refusal) == ["name"]
    assert Change.objects.count() == 1


def test_a_network_that_vanished_gives_its_name_up(host: Host, operator: User) -> None:
    old = Network.objects.create(host=host, uuid=uuid4(), name="office", mode="nat", spec={}, facts=None)
    change = operations.define_network(host, nat_spec(), by=operator)
    old.refresh_from_db()
    assert old.removed_at is not None
    assert change.network != old


def test_update_keeps_the_old_spec_until_it_is_applied(host: Host, operator: User) -> None:
    lab = network(host, "lab")
    before = lab.read_spec()
    assert before is not None
    wanted = before.model_copy(update={"first_lease": None})
    change = operations.update_network(lab, wanted, by=operator)
    assert isinstance(change.read_action(), UpdateNetwork)
    lab.refresh_from_db()
    assert lab.read_spec() == before


def test_update_refuses_another_name_or_mode(host: Host, operator: User) -> None:
    with pytest.raises(OperationRefused, match="stay as they are"):
        operations.update_network(network(host, "lab"), nat_spec(), by=operator)


def test_undefine_refuses_a_network_that_is_not_of_the_panel(host: Host, operator: User) -> None:
    with pytest.raises(OperationRefused, match="was not made by the panel"):
        operations.undefine_network(network(host, "default"), by=operator)


def test_destroy_refuses_a_network_with_a_running_guest(host: Host, operator: User) -> None:
    with pytest.raises(OperationRefused, match="web"):
        operations.destroy_network(network(host, "default"), by=operator)


def test_the_same_change_twice_is_one_change(host: Host, operator: User) -> None:
    operations.start_network(network(host, "lab"), by=operator)
    with pytest.raises(OperationRefused, match="waiting for kvm1 already"):
        operations.start_network(network(host, "lab"), by=operator)


def test_nothing_is_asked_of_a_network_that_is_being_taken_off(host: Host, operator: User) -> None:
    operations.undefine_network(network(host, "lab"), by=operator)
    with pytest.raises(OperationRefused, match="is being taken off"):
        operations.set_network_autostart(network(host, "lab"), False, by=operator)


def test_attach_names_the_guest_and_the_network(host: Host, operator: User) -> None:
    card = InterfaceSpec(source=NetworkSource(network="lab"), mac=FREE_MAC)
    change = operations.attach_interface(host, guest(host, DB_GUEST), card, by=operator)
    action = change.read_action()
    assert isinstance(action, AttachInterface)
    assert action.interface == card
    assert (change.domain_uuid, change.domain_name, change.network) == (DB_GUEST, "db", network(host, "lab"))
    event = AuditEvent.objects.get()
    assert (event.object_type, event.object_id, event.object_name) == ("guest", str(DB_GUEST), "db")


def test_attach_refuses_a_mac_of_another_host_s_guest(host: Host, silent_host: Host, operator: User) -> None:
    Host.objects.filter(pk=host.pk).update(facts=host_facts(domains=()).model_dump(mode="json"))
    host.interfaces.all().delete()
    stranger = DomainFacts(name="new", uuid=uuid4(), state="running")
    with pytest.raises(OperationRefused) as refusal:
        operations.attach_interface(
            host, stranger, InterfaceSpec(source=NetworkSource(network="lab"), mac=WEB_MAC), by=operator
        )
    assert fields(refusal) == ["mac"]
    assert "web on kvm2" in str(refusal.value)


def test_attach_refuses_a_mac_that_is_on_its_way_to_another_guest(host: Host, operator: User) -> None:
    card = InterfaceSpec(source=NetworkSource(network="lab"), mac=FREE_MAC)
    operations.attach_interface(host, guest(host, DB_GUEST), card, by=operator)
    with pytest.raises(OperationRefused) as refusal:
        operations.attach_interface(host, guest(host, WEB_GUEST), card, by=operator)
    assert fields(refusal) == ["mac"]


def test_free_mac_is_none_that_the_fleet_has(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = iter([WEB_MAC, FREE_MAC])
    monkeypatch.setattr("networks.mac_addresses.random_mac", lambda: next(offered))
    assert operations.free_mac() == FREE_MAC


def test_detach_takes_the_mac_in_any_spelling(host: Host, operator: User) -> None:
    change = operations.detach_interface(host, guest(host, WEB_GUEST), WEB_MAC.upper().replace(":", "-"), by=operator)
    action = change.read_action()
    assert isinstance(action, DetachInterface)
    assert action.mac == WEB_MAC
    assert change.network == network(host, "default")


def test_cancel_takes_back_what_was_never_sent(host: Host, operator: User) -> None:
    change = operations.define_network(host, nat_spec(), by=operator)
    operations.cancel_change(change, by=operator)
    assert change.state == ChangeState.CANCELLED
    assert network(host, "office").removed_at is not None
    assert AuditEvent.objects.filter(change_id=change.pk, outcome=Outcome.CANCELLED, actor_name="olga").count() == 1


def test_cancel_refuses_what_was_sent(host: Host, operator: User) -> None:
    change = operations.define_network(host, nat_spec(), by=operator)
    Change.objects.update(state=ChangeState.SENT, sends=1)  # while the person's page still says "queued"
    with pytest.raises(OperationRefused, match="too late"):
        operations.cancel_change(change, by=operator)
    assert network(host, "office").removed_at is None


def begun_and_silent(host: Host, operator: User) -> Change:
    change = operations.define_network(host, nat_spec(), by=operator)
    Change.objects.update(state=ChangeState.RUNNING, sends=1, received_at=timezone.now(), heard_at=timezone.now())
    Host.objects.update(last_report_at=timezone.now() - timedelta(hours=1))
    change.refresh_from_db()
    return change


def test_give_up_ends_the_waiting_for_a_host_that_had_begun(host: Host, operator: User) -> None:
    change = begun_and_silent(host, operator)
    operations.give_up(change, by=operator)
    change.refresh_from_db()
    assert change.state == ChangeState.EXPIRED
    assert "olga gave up waiting for kvm1" in str(change.read_error())
    assert network(host, "office").removed_at is not None
    assert AuditEvent.objects.filter(change_id=change.pk, outcome=Outcome.EXPIRED, actor_name="olga").count() == 1
    assert operations.retry_change(change, by=operator).state == ChangeState.QUEUED


def test_what_the_host_says_after_all_counts(host: Host, agent: Agent, operator: User) -> None:
    change = begun_and_silent(host, operator)
    operations.give_up(change, by=operator)
    record_report(host, agent.report(OrderFinished(order=change.pk, outcome="applied")))
    change.refresh_from_db()
    assert (change.state, change.error) == (ChangeState.APPLIED, None)
    assert network(host, "office").removed_at is None


def test_give_up_refuses_a_host_that_is_heard_of(host: Host, operator: User) -> None:
    change = begun_and_silent(host, operator)
    Host.objects.update(last_report_at=timezone.now())
    with pytest.raises(OperationRefused, match="does not wait for a silent host"):
        operations.give_up(change, by=operator)
    assert Change.objects.get().state == ChangeState.RUNNING


def test_retry_is_a_new_change_of_the_same_action(host: Host, operator: User) -> None:
    change = operations.define_network(host, nat_spec(), by=operator)
    operations.cancel_change(change, by=operator)
    again = operations.retry_change(change, by=operator)
    assert (again.action, again.retry_of, again.network) == (change.action, change, change.network)
    assert again.seq == 2
    assert network(host, "office").removed_at is None


def test_retry_refuses_a_change_that_is_open_applied_or_tried_again(host: Host, operator: User) -> None:
    change = operations.start_network(network(host, "lab"), by=operator)
    with pytest.raises(OperationRefused):
        operations.retry_change(change, by=operator)
    Change.objects.update(state=ChangeState.FAILED)
    operations.retry_change(change, by=operator)
    with pytest.raises(OperationRefused):
        operations.retry_change(change, by=operator)


def test_retry_refuses_a_name_that_another_network_has_by_now(host: Host, operator: User) -> None:
    change = operations.define_network(host, nat_spec(), by=operator)
    operations.cancel_change(change, by=operator)
    operations.define_network(host, nat_spec(), by=operator)
    with pytest.raises(OperationRefused) as refusal:
        operations.retry_change(change, by=operator)
    assert fields(refusal) == ["name"]


def test_retry_refuses_a_mac_address_that_a_guest_of_another_host_has_by_now(host: Host, operator: User) -> None:
    card = InterfaceSpec(source=NetworkSource(network="lab"), mac=FREE_MAC)
    change = operations.attach_interface(host, guest(host, WEB_GUEST), card, by=operator)
    operations.cancel_change(change, by=operator)
    other = make_host("kvm9")
    operations.attach_interface(other, guest(other, WEB_GUEST), card, by=operator)
    with pytest.raises(OperationRefused, match="on kvm9 already") as refusal:
        operations.retry_change(change, by=operator)
    assert fields(refusal) == ["mac"]


Operation = Callable[[Host, User], object]
OPERATIONS: dict[str, Operation] = {
    "define": lambda host, by: operations.define_network(host, nat_spec(), by=by),
    "update": lambda host, by: operations.update_network(network(host, "lab"), nat_spec("lab"), by=by),
    "start": lambda host, by: operations.start_network(network(host, "lab"), by=by),
    "destroy": lambda host, by: operations.destroy_network(network(host, "lab"), by=by),
    "undefine": lambda host, by: operations.undefine_network(network(host, "lab"), by=by),
    "autostart": lambda host, by: operations.set_network_autostart(network(host, "lab"), True, by=by),
    "attach": lambda host, by: operations.attach_interface(
        host, guest(host, DB_GUEST), InterfaceSpec(source=NetworkSource(network="lab"), mac=FREE_MAC), by=by
    ),
    "detach": lambda host, by: operations.detach_interface(host, guest(host, WEB_GUEST), WEB_MAC, by=by),
    "detach vf": lambda host, by: operations.detach_vf_of_pair(host, guest(host, WEB_GUEST), WEB_MAC, by=by),
    "cancel": lambda host, by: operations.cancel_change(Change.objects.get(), by=by),
    "give up": lambda host, by: operations.give_up(Change.objects.get(), by=by),
    "retry": lambda host, by: operations.retry_change(Change.objects.get(), by=by),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_only_operators_change_anything(
    operation: str, host: Host, operator: User, viewer: User, stranger: User
) -> None:
    operations.set_network_autostart(network(host, "lab"), False, by=operator)
    gone = User.objects.create_user("gone", is_active=False)
    RoleBinding.objects.create(user=gone, role=Role.OPERATOR)
    for person in (viewer, stranger, gone):
        with pytest.raises(PermissionDenied):
            OPERATIONS[operation](host, person)
    assert Change.objects.get().state == ChangeState.QUEUED
    assert AuditEvent.objects.count() == 1
