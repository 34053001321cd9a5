"""The agent's command line on a host of the lab."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from lab import LabGuest, LabHost
from virtnet.actions import Action, AttachInterface, DefineNetwork, DetachInterface, UndefineNetwork
from virtnet.facts import HostFacts
from virtnet.interface import InterfaceSpec, NetworkSource
from virtnet.messages import Step
from virtnet.refs import DomainRef, NetworkRef
from virtnet.spec import NetworkSpec

KVMAGENT = [sys.executable, "-m", "kvmagent"]


def apply(host: LabHost, action: Action) -> tuple[int, list[Step], str]:
    """(exit status, the steps in order, stderr) of `kvmagent apply --json -`."""
    done = host.run([*KVMAGENT, "apply", "--json", "-"], input=action.model_dump_json(), check=False, timeout=90)
    return done.returncode, [Step.model_validate_json(line) for line in done.stdout.splitlines()], done.stderr


def must_apply(host: LabHost, action: Action) -> list[str]:
    """The outcomes of the steps; the action must go well."""
    status, steps, said = apply(host, action)
    assert status == 0, said
    return [step.outcome for step in steps]


def facts(host: LabHost) -> HostFacts:
    return HostFacts.model_validate_json(host.run([*KVMAGENT, "facts"]).stdout)


def ref(name: str) -> NetworkRef:
    return NetworkRef(uuid=UUID(int=sum(name.encode()), version=4), name=name)


def define(spec: NetworkSpec) -> DefineNetwork:
    return DefineNetwork.model_validate({"network": ref(spec.name), "spec": spec})


def undefine(spec: NetworkSpec) -> UndefineNetwork:
    return UndefineNetwork.model_validate({"network": ref(spec.name), "spec": spec})


def domain(guest: LabGuest) -> DomainRef:
    return DomainRef(uuid=guest.uuid, name=guest.name)


def attach(guest: LabGuest, network: str, mac: str) -> AttachInterface:
    return AttachInterface(
        domain=domain(guest), interface=InterfaceSpec(source=NetworkSource(network=network), mac=mac)
    )


def detach(guest: LabGuest, mac: str) -> DetachInterface:
    return DetachInterface(domain=domain(guest), mac=mac)


@contextmanager
def network(host: LabHost, spec: NetworkSpec) -> Iterator[None]:
    """A network that is there for the length of a `with`."""
    must_apply(host, define(spec))
    try:
        yield
    finally:
        must_apply(host, undefine(spec))
