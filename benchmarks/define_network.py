"""A NAT network from the POST until its change is applied, against libvirt's two calls made directly in one process.

Three ways on the same host of the lab, interleaved: through the panel (form, checks, database, signature, Redis,
journal, checks again, libvirt, our firewall table, report, database); libvirt's own NAT network (`networkDefineXML` and
`create` of `<forward mode='nat'/>`), which is what a person gets without the panel; and the panel's own XML, which is
`open` to libvirt and so gives no NAT at all: it shows what the panel adds to the bare calls.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import libvirt

from lab import LabHost
from lab.browser import Browser
from lab.panel import LabPanel
from virtnet.modes import spec_adapter
from virtnet.modes.nat import Nat
from virtnet.refs import NetworkRef

PAIRS = 20
LONGEST = 30.0  # seconds that one change may take


@dataclass(frozen=True)
class Round:
    """Seconds of each of the three ways."""

    panel: float
    direct_nat: float
    direct_open: float


def measure(panel: LabPanel, host: LabHost, pairs: int = PAIRS) -> list[Round]:
    browser = Browser(panel.url)
    browser.log_in("admin", panel.password)
    connection = host.libvirt()
    rounds = [
        Round(
            panel=_through_the_panel(browser, panel, host, number),
            direct_nat=_direct(connection, number, forward="nat"),
            direct_open=_direct(connection, number, forward="open"),
        )
        for number in range(pairs + 1)
    ]
    return rounds[1:]  # the first round warms all up: imports, connections, caches


def report(rounds: list[Round]) -> str:
    def median(seconds: Iterable[float]) -> str:
        return f"{statistics.median(seconds) * 1000:.0f} ms"

    def ratios(each: Iterable[float]) -> str:
        ordered = sorted(each)
        return f"median {statistics.median(ordered):.2f}, lowest {ordered[0]:.2f}, highest {ordered[-1]:.2f}"

    return "\n".join(
        [
            f"define + start of a NAT network, {len(rounds)} interleaved rounds, medians: "
            f"panel {median(one.panel for one in rounds)}, libvirt's NAT {median(one.direct_nat for one in rounds)}, "
            f"bare calls without NAT {median(one.direct_open for one in rounds)}",
            f"  panel / libvirt's NAT: {ratios(one.panel / one.direct_nat for one in rounds)} (at most 1.3)",
            f"  panel / bare calls without NAT: {ratios(one.panel / one.direct_open for one in rounds)}",
        ]
    )


def _spec(name: str, number: int) -> Nat:
    subnet = f"10.{100 + number}.0"
    spec = spec_adapter.validate_python(
        {
            "mode": "nat",
            "name": name,
            "bridge": f"virbr{name[0]}{number}",
            "gateway": f"{subnet}.1/24",
            "first_lease": f"{subnet}.10",
            "last_lease": f"{subnet}.200",
        }
    )
    assert isinstance(spec, Nat)
    return spec


def _through_the_panel(browser: Browser, panel: LabPanel, host: LabHost, number: int) -> float:
    spec = _spec(f"panel{number}", number)
    page = f"/hosts/{host.name}/networks/new/{spec.mode}/"
    browser.get(page)
    fields = {name: str(value) for name, value in spec.model_dump(mode="json").items() if name != "mode"}
    begun = time.perf_counter()
    change = browser.post(page, fields).rstrip("/").rpartition("/")[2]
    _wait_until_applied(panel, change)
    seconds = time.perf_counter() - begun
    network = host.libvirt().networkLookupByName(spec.name)
    network.destroy()
    network.undefine()
    return seconds


def _wait_until_applied(panel: LabPanel, change: str) -> None:
    # Straight from the database: asking the web process would slow down what is measured.
    deadline = time.monotonic() + LONGEST
    with panel.database() as database:
        state = ""
        while state != "applied":
            [(state,)] = database.rows("SELECT state FROM networks_change WHERE id = %s", UUID(change))
            if state in {"refused", "failed", "undone"} or time.monotonic() > deadline:
                raise RuntimeError(f"the change {change} is {state}")
            time.sleep(0.001)


def _direct(connection: libvirt.virConnect, number: int, *, forward: str) -> float:
    spec = _spec(f"{forward}{number}", 100 + number)
    document = ET.fromstring(spec.libvirt_xml(NetworkRef(uuid=uuid4(), name=spec.name)))
    for element in document.iter("forward"):
        element.set("mode", forward)
    xml = ET.tostring(document, encoding="unicode")
    begun = time.perf_counter()
    network = connection.networkDefineXML(xml)
    network.create()
    seconds = time.perf_counter() - begun
    network.destroy()
    network.undefine()
    return seconds
