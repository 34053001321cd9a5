"""A guest's tap, played by this process: which frames of the host come through to it under a policy.

Run as a program it does the same on the machine where it runs, in the network namespace that it is given, and prints
what came through: so that the rules can be tried on another kernel.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

MAC = "52:54:00:aa:00:01"
HOST, GUEST = "10.9.9.1", "10.9.9.2"
OPEN, CLOSED = 22, 8080
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
LONGEST_WAIT = 1.0  # seconds; a frame on a bridge arrives at once or never


class Tap:
    """A port of the bridge br7 that hangs on this process."""

    def __init__(self) -> None:
        self.file = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self.file, TUNSETIFF, struct.pack("16sH22x", b"vnet7", IFF_TAP | IFF_NO_PI))
        for command in (
            "link add br7 type bridge forward_delay 0",
            "link set vnet7 master br7",
            "link set vnet7 up",
            "link set br7 up",
            f"address add {HOST}/24 dev br7",
            f"neighbour add {GUEST} lladdr {MAC} dev br7",
        ):
            subprocess.run(["ip", *command.split()], check=True)

    def close(self) -> None:
        os.close(self.file)  # the tap goes with it
        subprocess.run(["ip", "link", "delete", "br7"], check=True)

    def sends(self, payload: bytes, *, protocol: int = 17) -> None:
        """An IPv4 packet of the guest to the host."""
        own = bytes.fromhex(MAC.replace(":", ""))
        os.write(self.file, self._host_mac() + own + b"\x08\x00" + ip(payload, protocol))

    def gets(self, wanted: tuple[int, int]) -> bool:
        """Whether a packet with this protocol and destination port comes through."""
        until = time.monotonic() + LONGEST_WAIT
        while (left := until - time.monotonic()) > 0 and select.select([self.file], [], [], left)[0]:
            frame = os.read(self.file, 65536)
            if frame[12:14] == b"\x08\x00" and (frame[23], struct.unpack("!H", frame[36:38])[0]) == wanted:
                return True
        return False

    @staticmethod
    def _host_mac() -> bytes:
        # Not from /sys, which shows the network namespace that it was mounted in.
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("br7", 0))
            mac: bytes = raw.getsockname()[4]
            return mac


def ip(payload: bytes, protocol: int) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
    head += socket.inet_aton(GUEST) + socket.inet_aton(HOST)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + head[12:] + payload


def udp(source: int, target: int) -> bytes:
    return struct.pack("!HHHH", source, target, 8, 0)


def connect(port: int) -> None:
    """A SYN of the host to the guest; nobody answers it."""
    with socket.socket() as tcp:
        tcp.setblocking(False)
        tcp.connect_ex((GUEST, port))


def send(source: int, target: int, *, broadcast: bool = False) -> None:
    """A datagram of the host to the guest, or to all on the bridge."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        datagrams.bind((HOST, source))
        datagrams.sendto(b"", ("10.9.9.255" if broadcast else GUEST, target))


def look(ruleset: str) -> dict[str, bool]:
    """What comes through, by its name, under these rules ("" for none)."""
    tap = Tap()
    try:
        subprocess.run(["nft", "-f", "-"], input=ruleset, text=True, check=True)
        found = {}
        for name, port in (("syn to the open port", OPEN), ("syn to the closed port", CLOSED)):
            connect(port)
            found[name] = tap.gets((6, port))
        send(53, 5000)
        found["datagram that nobody asked for"] = tap.gets((17, 5000))
        tap.sends(udp(5000, 53))
        send(53, 5000)
        found["answer to the guest's datagram"] = tap.gets((17, 5000))
        send(54, 5000)
        found["datagram from another port"] = tap.gets((17, 5000))
        send(137, 137, broadcast=True)
        found["broadcast"] = tap.gets((17, 137))
        return found
    finally:
        tap.close()


if __name__ == "__main__":
    print(json.dumps(look(sys.stdin.read())))
