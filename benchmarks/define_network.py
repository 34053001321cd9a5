"""A NAT network from the POST until its change is applied, against the same two libvirt calls made directly.

Both on the same host of the lab, interleaved: one through the panel, one direct, and again. What is compared is the
whole way (form, checks, database, signature, Redis, journal, checks again, libvirt, firewall, report, database) with
bare `networkDefineXML` and `create` in one process.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from uuid import UUID, uuid4

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
class Pair:
    """Seconds of one run through the panel and of one direct run."""

    panel: float
    direct: float


def measure(panel: LabPanel, host: LabHost, pairs: int = PAIRS) -> list[Pair]:
    browser = Browser(panel.url)
    browser.log_in("admin", panel.password)
    connection = host.libvirt()
    measured = []
    for number in range(pairs + 1):
        pair = Pair(_through_the_panel(browser, panel, host, number), _direct(connection, number))
        if number:  # the first pair warms both up: imports, connections, caches
            measured.append(pair)
    return measured


def report(measured: list[Pair]) -> str:
    ratios = sorted(pair.panel / pair.direct for pair in measured)
    panel = statistics.median(pair.panel for pair in measured) * 1000
    direct = statistics.median(pair.direct for pair in measured) * 1000
    return (
        f"define + start a NAT network, {len(measured)} pairs: panel {panel:.0f} ms, direct {direct:.0f} ms (medians), "
        f"ratio median {statistics.median(ratios):.2f}, lowest {ratios[0]:.2f}, highest {ratios[-1]:.2f}"
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


def _direct(connection: libvirt.virConnect, number: int) -> float:
    spec = _spec(f"direct{number}", 100 + number)
    xml = spec.libvirt_xml(NetworkRef(uuid=uuid4(), name=spec.name))
    begun = time.perf_counter()
    network = connection.networkDefineXML(xml)
    network.create()
    seconds = time.perf_counter() - begun
    network.destroy()
    network.undefine()
    return seconds
