"""The network of a host of the lab at two moments."""

from __future__ import annotations

import json
import sys

from kvmagent import snapshot
from kvmagent.snapshot import Snapshot
from lab import LabHost


def take(host: LabHost) -> Snapshot:
    told = host.run([sys.executable, "-m", "tests.lab.print_snapshot"]).stdout
    return {(link, thing): how for link, thing, how in json.loads(told)}


def differences(host: LabHost, before: Snapshot) -> list[str]:
    """Since then, each in a sentence."""
    return [str(difference) for difference in snapshot.differences(before, take(host))]
