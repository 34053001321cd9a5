"""One virtual function (VF) of a network card: what may be wanted of it, by the names of `ip link set PF vf N …`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from virtnet.fields import MacAddress
from virtnet.text import SpecError, gettext_noop, text

LINK_STATES = ("auto", "enable", "disable")  # IFLA_VF_LINK_STATE_AUTO, _ENABLE, _DISABLE

LinkState = Literal["auto", "enable", "disable"]
Rate = Annotated[int, Field(ge=0, le=4_294_967_295)]


class VfAttributes(BaseModel):
    """What is wanted of a VF. None: nothing is wanted, it has what its driver gives it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mac: Annotated[
        MacAddress | None,
        Field(
            title=gettext_noop("MAC address"),
            description=gettext_noop("While a guest owns the VF, the guest's card has the say."),
        ),
    ] = None
    vlan: Annotated[
        int | None,
        Field(
            title=gettext_noop("VLAN tag"),
            description=gettext_noop("The card puts the VF into this VLAN; who owns the VF sees untagged frames."),
            ge=1,
            le=4094,
        ),
    ] = None
    qos: Annotated[
        int | None,
        Field(
            title=gettext_noop("Priority (qos)"),
            description=gettext_noop("802.1p, 0 to 7, in the frames' VLAN tag."),
            ge=0,
            le=7,
        ),
    ] = None
    spoofchk: Annotated[
        bool | None,
        Field(
            title=gettext_noop("Spoof check"),
            description=gettext_noop("The card drops frames from another MAC address than the VF's."),
        ),
    ] = None
    trust: Annotated[
        bool | None,
        Field(
            title=gettext_noop("Trust"),
            description=gettext_noop("The VF may be promiscuous, take all multicast and change its own MAC address."),
        ),
    ] = None
    link_state: Annotated[
        LinkState | None,
        Field(
            title=gettext_noop("Link state"),
            description=gettext_noop("auto follows the cable; enable joins VFs of this card without one."),
        ),
    ] = None
    min_tx_rate: Annotated[
        Rate | None,
        Field(title=gettext_noop("Least rate (min_tx_rate)"), description=gettext_noop("Mbit/s; 0 promises nothing.")),
    ] = None
    max_tx_rate: Annotated[
        Rate | None,
        Field(title=gettext_noop("Highest rate (max_tx_rate)"), description=gettext_noop("Mbit/s; 0 sets no limit.")),
    ] = None

    @model_validator(mode="after")
    def a_priority_needs_a_tag(self) -> VfAttributes:
        if self.qos and self.vlan is None:
            raise SpecError(text("A priority stands in a VLAN tag: choose a VLAN tag too."), field="qos")
        return self

    @model_validator(mode="after")
    def the_least_is_not_over_the_highest(self) -> VfAttributes:
        if self.min_tx_rate and self.max_tx_rate and self.min_tx_rate > self.max_tx_rate:
            raise SpecError(text("The least rate is above the highest."), field="min_tx_rate")
        return self

    def wanted(self) -> dict[str, str | int | bool]:
        """What is wanted, by attribute, e.g. {"vlan": 42, "trust": True}."""
        return self.model_dump(exclude_none=True)


# What a driver gives a VF that nobody has set anything on. Rates of 0 are no rates, a VLAN of 0 is none; a MAC address
# of zeros lets the VF draw one of its own.
NO_MAC = "00:00:00:00:00:00"
PAIRS = (("vlan", "qos"), ("min_tx_rate", "max_tx_rate"))  # each is one attribute to the kernel
DEFAULTS: dict[str, str | int | bool] = {
    "mac": NO_MAC,
    "vlan": 0,
    "qos": 0,
    "spoofchk": True,
    "trust": False,
    "link_state": "auto",
    "min_tx_rate": 0,
    "max_tx_rate": 0,
}


def target(wanted: VfAttributes, kept: VfAttributes | None) -> dict[str, str | int | bool]:
    """What to set on a VF of which `kept` was wanted so far, in the order of DEFAULTS: what is wanted now, and its
    default for each attribute that is no longer. vlan with qos, and the two rates, belong together."""
    values = wanted.wanted()
    former = kept.wanted() if kept is not None else {}
    for pair in PAIRS:
        if any(one in values or one in former for one in pair):
            values = {**{one: DEFAULTS[one] for one in pair}, **values}
    return {
        attribute: values.get(attribute, default)
        for attribute, default in DEFAULTS.items()
        if attribute in values or attribute in former
    }
