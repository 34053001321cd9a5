"""libvirtd and virtlogd of one host: its configuration, its daemons, the network that is there before anybody comes."""

import os
import shutil
import signal
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import libvirt

from lab import cache
from lab.errors import LabError
from lab.processes import ProcessId, end, identify

# No cgroups: the host does not see the machine's. No mount namespace around QEMU: the host has one already.
QEMU_CONF = """\
cgroup_controllers = []
namespaces = []
security_driver = "none"
user = "root"
group = "root"
"""
# Each host has a machine-id of its own but all share the machine's DMI, so the id makes the better host UUID.
LIBVIRTD_CONF = """\
auth_unix_rw = "none"
host_uuid_source = "machine-id"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
"""
SOCKET = Path("root/run/libvirt/libvirt-sock")  # under the host's state_dir
PID_FILES = {name: Path(f"root/run/libvirt/{name}.pid") for name in ("libvirtd", "virtlogd")}
CAPABILITIES = Path("root/var/cache/libvirt/qemu/capabilities")
Run = Callable[[list[str]], object]


def configure(state_dir: Path) -> None:
    etc = state_dir / "root/etc/libvirt"
    (etc / "qemu.conf").write_text(QEMU_CONF)
    (etc / "libvirtd.conf").write_text(LIBVIRTD_CONF)
    filters = Path("/etc/libvirt/nwfilter")
    if filters.is_dir():  # libvirt-daemon-config-nwfilter: the stock filters, such as clean-traffic
        shutil.copytree(filters, etc / "nwfilter")


def take_capabilities(state_dir: Path) -> None:
    """Give the host what libvirt found out about this machine's QEMU for another host: finding out takes it 4 s.

    libvirt itself looks again where QEMU, libvirt, the kernel or the CPU is another than then (and on some virtual
    machines, whose CPUID differs from core to core, now and then without need).
    """
    if _known_capabilities().is_dir():
        shutil.copytree(_known_capabilities(), state_dir / CAPABILITIES)


def keep_capabilities(state_dir: Path) -> None:
    """Put what this host's libvirtd has found out into the cache, each file in one step."""
    _known_capabilities().mkdir(parents=True, exist_ok=True)
    for path in (state_dir / CAPABILITIES).glob("*.xml"):
        known = _known_capabilities() / path.name
        if not known.exists() or known.read_bytes() != path.read_bytes():
            new = known.with_suffix(f".new-{os.getpid()}")
            shutil.copyfile(path, new)
            new.replace(known)


def _known_capabilities() -> Path:
    return cache.directory() / "capabilities"


def start(state_dir: Path, name: str, run: Run) -> None:
    """name: "libvirtd" or "virtlogd". Returns when it answers: with --daemon the parent waits for a ready child."""
    if running(state_dir, name) is None:
        run([name, "--daemon", f"--pid-file=/run/libvirt/{name}.pid"])


def stop(state_dir: Path, name: str) -> None:
    """As systemd does; guests and networks go on without it. Nothing happens where it does not run."""
    process = running(state_dir, name)
    if process is not None:
        end(process, signal.SIGTERM)


def running(state_dir: Path, name: str) -> ProcessId | None:
    try:
        pid = int((state_dir / PID_FILES[name]).read_text())
    except (FileNotFoundError, ValueError):  # never started; or between creating and writing the file
        return None
    process = identify(pid)
    if process is not None and Path(f"/proc/{pid}/comm").read_text().strip() != name:
        return None  # the pid of a daemon that was killed, given out again
    return process


def connect(state_dir: Path, host: str) -> libvirt.virConnect:
    try:
        return libvirt.open(f"qemu+unix:///system?socket={state_dir / SOCKET}")
    except libvirt.libvirtError as error:
        raise LabError(
            f"libvirtd on {host} does not answer: {error}", "Start it with host.start_libvirtd()."
        ) from error


def define_stock_network(connection: libvirt.virConnect) -> None:
    """libvirt's `default` network as its packages define it, not started: to the panel, a foreign network."""
    connection.networkDefineXML(ET.tostring(_stock_network(), encoding="unicode"))


def _stock_network() -> ET.Element:
    # https://gitlab.com/libvirt/libvirt/-/blob/v9.0.0/src/network/default.xml.in
    network = ET.Element("network")
    ET.SubElement(network, "name").text = "default"
    ET.SubElement(network, "forward", mode="nat")
    ET.SubElement(network, "bridge", name="virbr0", stp="on", delay="0")
    ip = ET.SubElement(network, "ip", address="192.168.122.1", netmask="255.255.255.0")
    dhcp = ET.SubElement(ip, "dhcp")
    ET.SubElement(dhcp, "range", start="192.168.122.2", end="192.168.122.254")
    return network
