"""ifupdown on this host: what it says of a link, and how it lets a bridge go on with the link's addresses."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from kvmagent.persist.owners import Link, ask, read_file
from virtnet.configuration import ConfigurationFile, DhcpClient, LinkConfiguration
from virtnet.persist.ifupdown import MAIN
from virtnet.persist.interfaces import stanzas

STATE = Path("/run/network/ifstate")
LEASES = "/var/lib/dhcp/dhclient.{link}.leases"
PID = "/run/dhclient.{link}.pid"


def is_here() -> bool:
    return Path(MAIN).exists() and shutil.which("ifup") is not None


def read(link: Link) -> LinkConfiguration | None:
    """None where no stanza names it."""
    files = list(_files())
    own = [
        stanza
        for file in files
        for stanza in stanzas(file.text)
        if stanza.words[0] == "iface" and stanza.words[1:2] == [link.name]
    ]
    if not own:
        return None
    dhcp = any(stanza.words[3:4] == ["dhcp"] for stanza in own)
    return LinkConfiguration(
        link=link.name,
        owner="ifupdown",
        permanent_mac=link.permanent_mac,
        dhcp=dhcp,
        client=_client(link.name) if dhcp else None,
        files=tuple(files),
    )


def without(link: Link) -> LinkConfiguration:
    """Of a link that has no stanza, to write one for a bridge over it."""
    return LinkConfiguration(link=link.name, owner="ifupdown", permanent_mac=link.permanent_mac, files=tuple(_files()))


def check(bridge: str) -> None:
    """That ifupdown reads what was written, and would bring the bridge up. Raises OwnerFailed."""
    ask(["ifquery", bridge])
    ask(["ifup", "--no-act", "--force", bridge])


def hand_over(bridge: str, uplink: LinkConfiguration) -> None:
    """The bridge is what ifupdown brought up, no longer the uplink: `ifdown -a` at the end of the day takes it down.
    Its DHCP client goes on with the lease. Raises OwnerFailed."""
    if uplink.client == "dhclient":
        _move_client(uplink.link, bridge)
    _in_state(uplink.link, bridge)


def take_back(bridge: str, uplink: LinkConfiguration) -> None:
    """The reverse. Raises OwnerFailed."""
    if uplink.client == "dhclient":
        _move_client(bridge, uplink.link)
    _in_state(bridge, uplink.link)


def _files() -> Iterator[ConfigurationFile]:
    main = read_file(Path(MAIN))
    return _with_sourced(main, set()) if main is not None else iter(())


def _with_sourced(file: ConfigurationFile, seen: set[str]) -> Iterator[ConfigurationFile]:
    """The file, and those that it has ifupdown read, each once."""
    seen.add(file.path)
    yield file
    for stanza in stanzas(file.text):
        for pattern in stanza.words[1:] if stanza.words[0].startswith("source") else []:
            whole = str(Path(file.path).parent / pattern)
            if stanza.words[0] == "source-directory":
                whole += "/*"
            for path in sorted(str(Path(one).resolve()) for one in glob.glob(whole)):
                found = read_file(Path(path)) if path not in seen else None
                if found is not None:
                    yield from _with_sourced(found, seen)


def _client(link: str) -> DhcpClient | None:
    pid = _pid(link)
    return "dhclient" if pid is not None else None


def _pid(link: str) -> int | None:
    """Of the dhclient that ifupdown started for it."""
    try:
        pid = int(Path(PID.format(link=link)).read_text())
        return pid if (Path("/proc") / str(pid) / "comm").read_text().strip() == "dhclient" else None
    except (OSError, ValueError):
        return None


def _move_client(source: str, target: str) -> None:
    """dhclient on another link with the same MAC address, the same lease and the same client id."""
    pid, leases = _pid(source), Path(LEASES.format(link=source))
    if _pid(target) is not None:
        return  # done by a try before this one
    if pid is not None:
        # Not -x nor -r: its script would take the addresses away, and -r would give the lease back.
        os.kill(pid, signal.SIGKILL)
    if leases.exists():
        moved = leases.read_text().replace(f'interface "{source}"', f'interface "{target}"')
        Path(LEASES.format(link=target)).write_text(moved)
    # As ifupdown itself starts it (`ifup --no-act --verbose`), and in a unit of its own: it outlives the agent.
    ask(
        [
            *("systemd-run", "--quiet", "--collect", "--property=Type=forking", f"--unit=kvmpanel-dhclient-{target}"),
            *("dhclient", "-4", "-nw", "-i", "-pf", PID.format(link=target), "-lf", LEASES.format(link=target)),
            *("-I", "-df", f"/var/lib/dhcp/dhclient6.{target}.leases", target),
        ]
    )


def _in_state(source: str, target: str) -> None:
    """ifupdown's own record of what is up, a line `name=stanza` for each."""
    if not STATE.exists():
        return
    with (STATE.parent / ".ifstate.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        lines = [line for line in STATE.read_text().splitlines() if line.partition("=")[0] not in {source, target}]
        STATE.write_text("".join(f"{line}\n" for line in [*lines, f"{target}={target}"]))
