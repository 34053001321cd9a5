"""Packets from and to a host that is being changed: a server on it, probes from outside, and what was lost.

python -m tests.agent.packets echo                    answers UDP and TCP on port 7777, until it is killed
python -m tests.agent.packets probe ADDRESS           a probe each 5 ms until SIGTERM; then what was lost, as JSON
python -m tests.agent.packets session ADDRESS         one TCP connection, a byte each 10 ms; then whether it held
"""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import sys
import threading
import time
from itertools import pairwise

PORT = 7777
PAUSE = 0.005  # seconds between two probes
LAST_ANSWERS = 0.3  # seconds that answers may take after the last probe
LAST_BYTE = 1.0  # seconds that the last byte of a session may take: TCP sends a lost one again after 0.2 s

ended = threading.Event()


def echo() -> None:
    tcp = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    threading.Thread(target=_accept, args=(tcp,), daemon=True).start()
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.bind(("::", PORT))
    print("ready", flush=True)
    while True:
        data, peer = udp.recvfrom(100)
        try:
            udp.sendto(data, peer)
        except OSError:
            continue  # no way there just now: the probe counts it


def probe(address: str) -> None:
    """Prints {"sent", "lost", "longest_ms": without an answer, "silent_ms": since the last answer when the last probe
    was sent, "slowest_ms": of an answer, "lost_at": seconds}."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.settimeout(0.1)
    sent: dict[int, float] = {}
    answered: dict[int, float] = {}
    threading.Thread(target=_listen, args=(udp, answered), daemon=True).start()
    print("ready", flush=True)
    number, due = 0, time.monotonic()
    while not ended.is_set():
        number += 1
        sent[number] = time.monotonic()
        with contextlib.suppress(OSError):  # then it counts as lost
            udp.sendto(str(number).encode(), (address, PORT))
        due = max(due + PAUSE, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
    time.sleep(LAST_ANSWERS)
    lost = [one for one in sent if one not in answered]
    times = sorted(answered.values())
    silent = max(0.0, sent[number] - max(times, default=sent[1]))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    waited = max((answered[one] - sent[one] for one in answered), default=0.0)
    print(
        json.dumps(
            {
                "sent": len(sent),
                "lost": len(lost),
                "longest_ms": round(1000 * max([*gaps, silent]), 1),
                "silent_ms": round(1000 * silent, 1),
                "slowest_ms": round(1000 * waited, 1),
                "lost_at": [round(sent[one] - sent[1], 3) for one in lost[:20]],
            }
        )
    )


def session(address: str) -> None:
    """Prints {"held"}: whether each byte came back, the last one soon after the end at the latest."""
    tcp = socket.create_connection((address, PORT), timeout=40)
    print("ready", flush=True)
    held = True
    while held and not ended.is_set():
        try:
            tcp.sendall(b"x")
            held = _came_back(tcp)
        except OSError:
            held = False
        time.sleep(0.01)
    print(json.dumps({"held": held}))


def _came_back(tcp: socket.socket) -> bool:
    """Within 40 s, and LAST_BYTE once the end has come. Raises OSError when the session is broken."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if select.select([tcp], [], [], 0.1)[0]:
            return tcp.recv(1) == b"x"
        if ended.is_set():
            deadline = min(deadline, time.monotonic() + LAST_BYTE)
    return False


def _accept(tcp: socket.socket) -> None:
    while True:
        connection, _ = tcp.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(100):
                connection.sendall(data)
        except OSError:
            return


def _listen(udp: socket.socket, answered: dict[int, float]) -> None:
    while True:
        try:
            answered.setdefault(int(udp.recv(100)), time.monotonic())
        except OSError:
            continue


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    if sys.argv[1] == "echo":
        echo()
    elif sys.argv[1] == "probe":
        probe(sys.argv[2])
    else:
        session(sys.argv[2])
