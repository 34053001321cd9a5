"""What all tests share: where the lab's tests run, and where they must; and which files begin."""

import os
from pathlib import Path

import pytest

from lab import LabError, prerequisites

TESTS = Path(__file__).parent
# The lab's go to one worker each as a whole (--dist loadfile), so those that take minutes begin, and all end together.
LONGEST_FIRST = (
    "agent/test_stp.py",
    "agent/test_router_advertisements.py",
    "agent/test_run.py",
    "lab/test_sriov_from_the_page.py",
    "lab/test_power_cuts.py",
    "lab/test_agent_on_a_host.py",
    "lab/test_chaos.py",
    "lab/test_reboots.py",
    "lab/test_macvtap_on_a_host.py",
    "lab/test_lab.py",
    "lab/test_product_faults.py",
    "lab/test_guest_firewall.py",
    "lab/test_product_verdicts.py",
    "lab/test_bridge_on_a_host.py",
    "browser/test_countdown.py",
    "panel/test_pages_in_chromium.py",
    "browser/test_straight_path.py",
    "lab/test_product_hosts.py",
    "lab/test_agent_watch.py",
    "lab/test_container_cuts.py",
    "lab/test_stp_on_a_host.py",
    "lab/test_product_facts.py",
    "lab/test_lab_take_down.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of LONGEST_FIRST; all others stay as they are, after these."""
    places = {TESTS / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


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
