"""What may be asked of a PF and its VFs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from virtnet import vf_checks
from virtnet.action import Action
from virtnet.facts import HostFacts
from virtnet.fields import LinkName
from virtnet.host import Host
from virtnet.spec import Problem
from virtnet.text import Text, text
from virtnet.vf import VfAttributes


class SetNumvfs(Action):
    """Give a PF this many VFs. Those that are there are destroyed first: the kernel knows no other way."""

    action: Literal["set-numvfs"] = "set-numvfs"
    pf: LinkName
    numvfs: Annotated[int, Field(ge=0, le=65535)]

    def title(self) -> Text:
        return text("Set the number of VFs of %(pf)s to %(numvfs)s", pf=self.pf, numvfs=self.numvfs)

    def problems(self, facts: HostFacts) -> list[Problem]:
        return vf_checks.numvfs(facts, self.pf, self.numvfs)

    def notes(self, facts: HostFacts) -> list[Problem]:
        return vf_checks.carrier_goes(facts, self.pf, self.numvfs)

    def apply(self, host: Host) -> None:
        # Some drivers reset the whole card, and with it the PF's own link.
        host.arm_guard_for_vfs(self.pf, self.numvfs)
        if self.numvfs:
            # A VF of a PF that is down stays in reset.
            host.set_up(self.pf)
        host.set_numvfs(self.pf, self.numvfs)
        host.await_confirmation()
        host.keep_numvfs(self.pf, self.numvfs)


class SetVfAttributes(Action):
    """Bring one VF to these attributes, and none else of what the panel wanted of it before."""

    action: Literal["set-vf-attributes"] = "set-vf-attributes"
    pf: LinkName
    vf: Annotated[int, Field(ge=0, le=65534)]
    attributes: VfAttributes

    def title(self) -> Text:
        return text("Set the attributes of VF %(vf)s of %(pf)s", vf=self.vf, pf=self.pf)

    @property
    def new_mac(self) -> str | None:
        return self.attributes.mac

    def problems(self, facts: HostFacts) -> list[Problem]:
        return vf_checks.attributes(facts, self.pf, self.vf, self.attributes)

    def apply(self, host: Host) -> None:
        host.set_vf(self.pf, self.vf, self.attributes)
        host.keep_vf(self.pf, self.vf, self.attributes)
