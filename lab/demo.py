"""`make demo`: two KVM hosts with a guest each, and the panel over them, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from lab.driver import DriverLab
from lab.lab import Lab
from lab.panel import ADMIN, LabPanel

AnyPanel = LabPanel[Lab] | LabPanel[DriverLab]

WITHOUT_ROOT = """
Not root, so there are no real hosts: the panel and its agents run on libvirt's own test driver (test:///default).
Forms, checks, previews, changes and the audit log are the real ones; no bridge is made and no packet flows.
For the real thing: sudo make demo
"""


def add_parser(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    demo = actions.add_parser("demo", help="the whole product: hosts, guests and the panel, until Ctrl-C")
    demo.add_argument("--port", type=int, default=8080, help="of the panel on 127.0.0.1 (default 8080)")
    demo.add_argument("--hosts", type=int, default=2, help="how many KVM hosts (default 2)")
    demo.set_defaults(action=run)
    return demo


def run(arguments: argparse.Namespace) -> int:
    begun = time.monotonic()

    def tell(part: str) -> None:
        print(f"{time.monotonic() - begun:5.1f} s  {part}", flush=True)

    this_process = os.getpid()

    def as_ctrl_c(_signal: int, _frame: FrameType | None) -> None:
        # pyroute2 forks to enter a namespace and ends its child by SIGTERM: the child must not take the lab down.
        if os.getpid() != this_process:
            os._exit(0)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, as_ctrl_c)
    try:
        if os.geteuid() == 0:
            with Lab(arguments.prefix, hosts=arguments.hosts, guests_per_host=1, progress=tell) as lab:
                _show(lab, LabPanel(lab, port=arguments.port, progress=tell), tell)
        else:
            print(WITHOUT_ROOT)
            with DriverLab(arguments.hosts) as driver:
                _show(driver, LabPanel[DriverLab](driver, port=arguments.port, progress=tell), tell)
    except KeyboardInterrupt:
        print("Everything is down.")
    return 0


def _show(lab: Lab | DriverLab, panel: AnyPanel, tell: Callable[[str], None]) -> None:
    try:
        panel.up()
        for host in lab.hosts:
            panel.enrol(host)
        if isinstance(lab, Lab):
            tell("guests: start")
            lab.start_guests()
        tell("ready")
        _greet(panel)
        signal.pause()
    finally:
        # A second Ctrl-C or SIGTERM must not leave half of it behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("\nTaking everything down …", flush=True)
        panel.down()


def _greet(panel: AnyPanel) -> None:
    hosts = ", ".join(host.name for host in panel.lab.hosts)
    print(
        f"""
  The panel is at   {panel.url}
  Log in as         {ADMIN}
  Password          {panel.password}

  The hosts: {hosts}.
  Try: open {panel.lab.hosts[0].name}, "New network", NAT; then plug its guest into it and watch what happens.
  Ctrl-C takes everything down.
""",
        flush=True,
    )
