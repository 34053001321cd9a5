"""What a person asks for about a network of a host."""

from __future__ import annotations

from uuid import uuid4

from django.db import IntegrityError, transaction
from django.utils import timezone

from hosts.models import Host
from networks.models import OPEN_STATES, Change, Network
from networks.operations.request import as_json, lock_host, request
from pages.refused import OperationRefused, refused
from team.models import User
from virtnet.actions import (
    DefineNetwork,
    DestroyNetwork,
    SetNetworkAutostart,
    StartNetwork,
    UndefineNetwork,
    UpdateNetwork,
)
from virtnet.refs import NetworkRef
from virtnet.spec import NetworkSpec, Problem
from virtnet.text import text


def define_network(host: Host, spec: NetworkSpec, *, by: User) -> Change:
    """Asks the host for a new network. Its row is there from now on, without facts until the host has made it."""
    identity = uuid4()
    ref = NetworkRef(uuid=identity, name=spec.name)
    action = DefineNetwork.model_validate({"network": ref, "spec": spec})
    try:
        with transaction.atomic():
            locked = lock_host(host, by)
            make_room(locked, spec.name)
            network = Network.objects.create(
                id=identity, uuid=identity, host=locked, name=spec.name, mode=spec.mode, spec=as_json(spec)
            )
            return request(locked, action, by=by, network=network)
    except IntegrityError as error:
        raise name_is_taken(host, spec.name) from error


@transaction.atomic
def update_network(network: Network, spec: NetworkSpec, *, by: User, seen: str | None = None) -> Change:
    """Asks for another spec of the same mode and name; the row keeps the old one until the host has applied it.

    seen: the id of the network's newest update that the person had before them, "" for none; None: not looked at.
    """
    locked = lock_host(network.host, by)
    if (problem := overtaken(network, seen)) is not None:
        raise OperationRefused(problem)
    if (spec.mode, spec.name) != (network.mode, network.name):
        raise refused(
            text("The mode and the name of %(network)s stay as they are.", network=network.name),
            text("Make another network for another mode or name."),
        )
    action = UpdateNetwork.model_validate({"network": network.ref, "spec": spec})
    return request(locked, action, by=by, network=network)


def overtaken(network: Network, seen: str | None) -> Problem | None:
    """Somebody has asked for another spec since the person looked; what they fill in would take that back unseen."""
    if seen is None:
        return None
    newest = network.newest_update()
    if newest is None or seen == str(newest.pk):
        return None
    return Problem(
        text=text(
            "%(person)s has changed %(network)s since you opened this form.",
            person=newest.by.get_username(),
            network=network.name,
        ),
        fix=text("Look at the network's history. What you have filled in is still here: send it again to have it."),
    )


@transaction.atomic
def start_network(network: Network, *, by: User) -> Change:
    return request(lock_host(network.host, by), StartNetwork(network=network.ref), by=by, network=network)


@transaction.atomic
def destroy_network(network: Network, *, by: User) -> Change:
    """Stops it; it stays defined."""
    return request(lock_host(network.host, by), DestroyNetwork(network=network.ref), by=by, network=network)


@transaction.atomic
def undefine_network(network: Network, *, by: User) -> Change:
    """Takes a network of the panel off its host."""
    locked = lock_host(network.host, by)
    spec = network.read_spec()
    if spec is None:
        raise refused(
            text("The network %(network)s was not made by the panel.", network=network.name),
            text("Change it with the tool that made it."),
        )
    action = UndefineNetwork.model_validate({"network": network.ref, "spec": spec})
    return request(locked, action, by=by, network=network)


@transaction.atomic
def set_network_autostart(network: Network, autostart: bool, *, by: User) -> Change:
    action = SetNetworkAutostart(network=network.ref, autostart=autostart)
    return request(lock_host(network.host, by), action, by=by, network=network)


def make_room(host: Host, name: str) -> None:
    """A network that is gone from the host, and that nobody waits for, gives its name up."""
    gone = Network.objects.filter(host=host, name=name, removed_at=None, facts__isnull=True)
    gone.exclude(changes__state__in=OPEN_STATES).update(removed_at=timezone.now())


def name_is_taken(host: Host, name: str) -> OperationRefused:
    sentence = text("A network %(network)s of %(host)s is there or on its way.", network=name, host=host.name)
    return refused(sentence, text("Choose another name."), field="name")
