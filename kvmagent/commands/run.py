"""`kvmagent run`: the agent itself, as the systemd unit starts it."""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import gc
import logging
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TextIO

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kvmagent import arming, tasks, worker
from kvmagent import settings as settings_module
from kvmagent.alone import alone
from kvmagent.carry_out import Finished, carry_out
from kvmagent.confirmation import verdicts
from kvmagent.facts import read_facts
from kvmagent.facts_publisher import FactsPublisher
from kvmagent.guard_verbs import Confirmation
from kvmagent.journal import Journal
from kvmagent.keys import UnusableKey, load_host_key
from kvmagent.libvirt_connection import Libvirt
from kvmagent.nonces import Nonces
from kvmagent.orders import Orders
from kvmagent.reports import Reports
from kvmagent.vf_release import VfRelease
from kvmagent.watch import Watch
from kvmagent.watchdog import Watchdog, end_with_any_thread, notify_systemd
from virtnet.actions import AnyAction
from virtnet.messages import Step

EX_CONFIG = 78  # of sysexits.h

log = logging.getLogger(__name__)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("run", help="take orders from the panel and report to it")
    parser.add_argument("--uri", default="qemu:///system", help="libvirt's URI (default: %(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        settings = settings_module.load()
        key = load_host_key(settings_module.host_key_file())
    except (settings_module.NotEnrolled, UnusableKey, OSError) as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    try:
        only_one(settings_module.state() / "kvmagent.lock")
    except BlockingIOError:
        print("Another kvmagent runs on this host already.", file=sys.stderr)
        return EX_CONFIG
    journal = Journal(settings_module.journal_file())

    libvirt = Libvirt(arguments.uri)
    nonces = Nonces()
    watchdog = Watchdog()
    reports = Reports(
        settings, key, journal, nonces, _client(settings.redis_url), lambda waits: watchdog.check(waiting=waits)
    )
    release = VfRelease(again=lambda: publisher.changed())
    publisher = FactsPublisher(partial(release.follow, partial(read_facts, libvirt)), reports.facts)
    watch = Watch(libvirt, publisher.changed)

    orders = Orders(
        settings,
        journal,
        nonces,
        partial(_carry_out, libvirt, watch),
        told=reports.told,
        asked=publisher.asked,
        verdicts=partial(verdicts, settings),
    )
    app = worker.make_app(settings)
    tasks.register(app, orders, watchdog)

    stop = threading.Event()
    end_with_any_thread()
    for thread in (reports.run, publisher.run):
        threading.Thread(target=thread, args=(stop,), name=thread.__qualname__, daemon=True).start()
    watch.start()
    notify_systemd("READY=1")
    with watchdog.at_work():
        orders.recover()
        _put_back_what_nobody_guards()
    log.info("host %s takes orders from %s", settings.name, settings.panel)
    # What is there by now stays. Looked through again and again, it would hold up orders for tens of milliseconds, and
    # put off for long the collection of the little that each reading of the facts leaves behind.
    gc.collect()
    gc.freeze()
    # What starting has used and left goes back to the host: 5 MB where Python had to compile.
    ctypes.CDLL(None).malloc_trim(0)
    status = worker.work(app)
    stop.set()
    watch.stop()
    return status


def _put_back_what_nobody_guards() -> None:
    """Of an order that is not tried again, or of a person's change at the terminal."""
    if arming.find()[1] != "lost":
        return
    try:
        with alone():
            arming.restore_lost()
    except OSError:
        log.exception("what a guard has left could not be put back")


def only_one(path: Path) -> None:
    """Keeps a lock for the life of this process. Raises BlockingIOError when another process has it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = path.open("w")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _locks.append(file)


_locks: list[TextIO] = []  # a file that is forgotten is closed, and its lock with it


def _carry_out(
    libvirt: Libvirt,
    watch: Watch,
    action: AnyAction,
    note: Callable[[Step], None],
    *,
    found: Callable[[str], None],
    before: str | None,
    confirmation: Confirmation,
) -> Finished:
    try:
        with alone():
            return carry_out(action, libvirt, note, found=found, before=before, confirmation=confirmation)
    finally:
        watch.touch()


def _client(url: str) -> redis.Redis:
    # The sender does its own trying again; redis-py's would only hide for how long Redis has been away.
    return redis.Redis.from_url(
        url,
        socket_timeout=5,
        socket_connect_timeout=3,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,
    )
