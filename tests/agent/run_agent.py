"""`kvmagent` with one verb made deadly or slow, for the tests of what happens while an order runs.

KVMAGENT_TEST_VERB=kill: setting a network's autostart kills the process. KVMAGENT_TEST_VERB=2.5: it takes 2.5 s more.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from kvmagent import host
from kvmagent.__main__ import main
from virtnet.refs import NetworkRef

_set_autostart = host.LinuxHost.set_autostart


def _deadly_or_slow(self: host.LinuxHost, network: NetworkRef, autostart: bool) -> None:
    what = os.environ.get("KVMAGENT_TEST_VERB", "0")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(what))
    _set_autostart(self, network, autostart)


if __name__ == "__main__":
    setattr(host.LinuxHost, "set_autostart", _deadly_or_slow)  # noqa: B010
    sys.exit(main())
