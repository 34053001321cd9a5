"""What all tests share: where the lab's tests run, and where they must; and which files begin."""

import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from lab import LabError, prerequisites

TESTS = Path(__file__).parent
# The lab's go to one worker each as a whole (--dist loadfile), so those that take minutes begin, and all end together.
LONGEST_FIRST = (
    "agent/test_stp.py",
    "agent/test_router_advertisements.py",
    "agent/test_run.py",
    "lab/test_sriov_from_the_page.py",
    "lab/test_power_cuts.py",
    "lab/test_product_verdicts.py",
    "browser/test_countdown.py",
    "lab/test_agent_on_a_host.py",
    "lab/test_chaos.py",
    "lab/test_macvtap_on_a_host.py",
    "panel/test_pages_in_chromium.py",
    "lab/test_reboots.py",
    "lab/test_guest_firewall.py",
    "lab/test_lab.py",
    "lab/test_container_cuts.py",
    "lab/test_agent_watch.py",
    "lab/test_lab_take_down.py",
)
# These go to one worker together, for they share a panel that takes ten seconds to start.
TOGETHER = {
    "browser/test_countdown.py": "browser",
    "browser/test_straight_path.py": "browser",
    "lab/test_bridge_on_a_host.py": "product",
    "lab/test_product_facts.py": "product",
    "lab/test_product_faults.py": "product",
    "lab/test_product_hosts.py": "product",
    "lab/test_product_verdicts.py": "product",
    "lab/test_stp_on_a_host.py": "product",
}
# run-tests.sh names these places alone, for each worker reads all the files that it is given.
PLACES = {
    "waits": ("agent/",),
    "quiet": ("agent/test_bridge_move.py", "agent/test_stp.py", "panel/test_processes.py"),
    "lab": ("lab/", "browser/"),
    "browser": ("browser/", "panel/test_pages_in_chromium.py"),
}


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist's schedulers are not typed
    """xdist's loadfile, with those of TOGETHER as one file."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return TOGETHER.get(file.removeprefix("tests/"), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of LONGEST_FIRST; all others stay as they are, after these. Each is in the place of its marks."""
    order = {TESTS / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
    for item in items:
        for mark, places in PLACES.items():
            if item.get_closest_marker(mark) and not f"{item.path.relative_to(TESTS)}".startswith(places):
                raise pytest.UsageError(f"{item.nodeid} is marked {mark}, which is looked for in {places} only")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without root or a needed program the lab's tests are skipped with the reason; in CI they fail."""
    if item.get_closest_marker("lab") is None:
        return
    try:
        prerequisites.check()
    except LabError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
