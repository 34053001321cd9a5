"""Tells when something on the host may have changed: libvirt's events, the kernel's messages on links and rules, files.

Nothing is polled while all is well. What exactly has changed does not matter: whoever listens reads the facts again.
"""

from __future__ import annotations

import errno
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import libvirt
from inotify_simple import INotify, flags
from pyroute2.netlink import NETLINK_NETFILTER
from pyroute2.netlink.rtnl import (
    RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_ROUTE,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
)

from kvmagent.libvirt_connection import Libvirt, LibvirtDown

QUIET_SECONDS = 0.2  # changes come in flocks: starting one network makes a dozen messages
LONGEST_WAIT_SECONDS = 1.0  # a flock without end is told in between
RETRY_SECONDS = 1.0  # only while libvirtd is down

# Directories whose files tell what libvirt sends no event for: leases, and changes of a domain's or network's
# definition such as `virsh attach-interface --config` or `virsh domif-setlink`.
DIRECTORIES = (
    Path("/var/lib/libvirt/dnsmasq"),
    Path("/etc/libvirt/qemu"),
    Path("/etc/libvirt/qemu/networks"),
    Path("/etc/libvirt/qemu/networks/autostart"),
    Path("/run/libvirt/qemu"),
)
ENDINGS = (".status", ".xml")

FILE_CHANGES = flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.CREATE | flags.DELETE | flags.DELETE_SELF
NETLINK_GROUPS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE
NFNLGRP_NFTABLES = 7  # linux/netfilter/nfnetlink.h; rules of iptables-legacy send no message
DOMAIN_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
)

log = logging.getLogger(__name__)


class Watch:
    """Calls `changed` from a thread of its own, 200 ms after the last of a flock of changes."""

    def __init__(self, libvirt: Libvirt, changed: Callable[[], None]) -> None:
        self._libvirt = libvirt
        self._debounce = _Debounce(changed)
        self._broken = threading.Event()
        self._stopping = threading.Event()
        self._wake_reader, self._wake_writer = os.pipe()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begins to watch; libvirtd may be down."""
        self._libvirt.follow(self._register, self._libvirt_went)
        self._broken.set()  # the first connection, too, is the thread's to make
        for run in (self._debounce.run, self._follow_libvirt, self._follow_kernel):
            thread = threading.Thread(target=run, name=f"watch-{run.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Returns when its threads have ended; `changed` is not called after that."""
        self._stopping.set()
        self._broken.set()
        self._debounce.stop()
        os.write(self._wake_writer, b"\0")
        for thread in self._threads:
            thread.join()
        self._libvirt.unfollow(self._register, self._libvirt_went)
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def touch(self) -> None:
        """Something was changed of which nobody may tell: an order of the panel has ended."""
        self._debounce.touch()

    def _follow_libvirt(self) -> None:
        """Opens the connection again after it has broken; sleeps for as long as it holds."""
        while True:
            self._broken.wait()
            if self._stopping.is_set():
                return
            self._broken.clear()
            try:
                self._libvirt.connection()
            except LibvirtDown as error:
                log.debug("%s", error)
                self._broken.set()
                if self._stopping.wait(RETRY_SECONDS):
                    return

    def _register(self, connection: libvirt.virConnect) -> None:
        for event in DOMAIN_EVENTS:
            connection.domainEventRegisterAny(None, event, self._on_event, None)
        connection.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, self._on_event, None)
        self._debounce.touch()

    def _on_event(self, *_event: object) -> None:
        self._debounce.touch()

    def _libvirt_went(self) -> None:
        self._debounce.touch()
        self._broken.set()

    def _follow_kernel(self) -> None:
        with (
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink,
            selectors.DefaultSelector() as selector,
            ExitStack() as stack,
        ):
            netlink.bind((0, NETLINK_GROUPS))
            rules = stack.enter_context(_rules_of_nftables())
            for source in (netlink, rules, self._wake_reader):
                selector.register(source, selectors.EVENT_READ)
            if (files := _files(stack)) is not None:
                selector.register(files.inotify, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select():
                    if isinstance(key.fileobj, socket.socket):
                        _drain(key.fileobj)
                        self._debounce.touch()
                    elif files is not None and key.fileobj is files.inotify and files.changed():
                        self._debounce.touch()


class _Debounce:
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._condition = threading.Condition()
        self._first: float | None = None  # of the changes that have not been told yet
        self._last = 0.0
        self._stopped = False

    def touch(self) -> None:
        with self._condition:
            self._last = time.monotonic()
            if self._first is None:
                self._first = self._last
                self._condition.notify()

    def stop(self) -> None:
        with self._condition:
            self._stopped = True
            self._condition.notify()

    def run(self) -> None:
        while self._flock_is_over():
            try:
                self._call()
            except Exception:
                log.exception("telling of a change failed")

    def _flock_is_over(self) -> bool:
        """Waits for the end of the next flock of changes; False when stopped."""
        with self._condition:
            while not self._stopped:
                if self._first is None:
                    self._condition.wait()
                    continue
                left = min(self._last + QUIET_SECONDS, self._first + LONGEST_WAIT_SECONDS) - time.monotonic()
                if left <= 0:
                    self._first = None
                    return True
                self._condition.wait(left)
            return False


class _Files:
    """The watched directories. One that is not there yet is waited for at its nearest ancestor."""

    def __init__(self, inotify: INotify) -> None:
        self.inotify = inotify
        self._watched: dict[int, Path] = {}  # watch descriptor -> the directory that it watches
        self._watch_all()

    def changed(self) -> bool:
        """Reads the events; True when one of them is of a file that matters."""
        matters = False
        for event in self.inotify.read(timeout=0):
            if event.mask & flags.IGNORED:
                self._watched.pop(event.wd, None)
            directory = self._watched.get(event.wd)
            if event.mask & flags.Q_OVERFLOW or (directory in DIRECTORIES and event.name.endswith(ENDINGS)):
                matters = True
            elif event.mask & (flags.CREATE | flags.MOVED_TO | flags.IGNORED | flags.DELETE_SELF):
                # A directory that came may hold files already, so its coming is a change too.
                matters |= self._watch_all()
        return matters

    def _watch_all(self) -> bool:
        """Watch each directory, or its nearest ancestor. True when a directory that was missing is there now."""
        found = False
        for directory in DIRECTORIES:
            for path in (directory, *directory.parents):
                try:
                    descriptor = self.inotify.add_watch(path, FILE_CHANGES | flags.ONLYDIR)
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.ENOTDIR):
                        continue
                    log.warning("files in %s are not heard of: %s", directory, error)  # e.g. no watch is left (ENOSPC)
                    break
                found |= path == directory and self._watched.get(descriptor) != directory
                self._watched[descriptor] = path
                break
        return found


def _files(stack: ExitStack) -> _Files | None:
    """None where others on this host have all that the kernel gives root (fs.inotify.max_user_instances): what only
    files tell is then heard of when something else changes, or when the panel asks."""
    try:
        return _Files(stack.enter_context(INotify()))
    except OSError as error:
        log.warning("changes of libvirt's files are not heard of: %s", error)
        return None


def _rules_of_nftables() -> socket.socket:
    """Hears of each change of a table, chain, rule or set; of none in a kernel without nftables."""
    rules = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    try:
        rules.bind((0, 1 << (NFNLGRP_NFTABLES - 1)))
    except PermissionError:  # the agent itself is root
        log.warning("changes of the firewall's rules are not heard of: not permitted")
    return rules


def _drain(netlink: socket.socket) -> None:
    """Empty the socket. An overrun (ENOBUFS) means messages were lost, so there were some: that is all we ask."""
    while True:
        try:
            netlink.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
