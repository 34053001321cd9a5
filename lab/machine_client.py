"""`machine_client.py DIRECTORY -- COMMAND…`: runs a command inside an emulated machine as if it ran here.

stdin, stdout, stderr, signals and the exit status are passed through; the environment and the working directory go
along. Killing this process kills the command. Standard library only, so that it starts in no time.
DIRECTORY has the sockets of the machine's virtio-serial ports; QEMU serves one client on each.
"""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

CHUNK = 32768
PAUSE = 0.05  # seconds between two looks for a free port
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
MACHINE_IS_OFF = 255


class Line:
    """A connection to the machine, for one command."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._token = secrets.token_hex(8)
        self._lock = threading.Lock()

    def send(self, **message: object) -> None:
        with self._lock:
            # Begins with a line's end: what a killed client left torn ends here.
            self._connection.sendall(b"\n" + json.dumps({"token": self._token, **message}).encode() + b"\n")

    def answers(self) -> Iterator[dict[str, str | int]]:
        """Raises ConnectionError where the machine goes off."""
        received = b""
        while True:
            part = self._connection.recv(CHUNK)
            if not part:
                raise ConnectionError
            *lines, received = (received + part).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):
                    message = json.loads(line)
                    if message["token"] == self._token:
                        yield message


def main() -> int:
    directory, argv = Path(sys.argv[1]), sys.argv[3:]
    try:
        with free_port(directory) as connection:
            return run(Line(connection), argv)
    except (ConnectionError, FileNotFoundError):
        print(f"The machine behind {directory} is off.", file=sys.stderr)
        return MACHINE_IS_OFF


def run(line: Line, argv: list[str]) -> int:
    # Blocked until the command is asked for: a signal for a command that nobody knows yet would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in SIGNALS:
        signal.signal(number, lambda number, _: line.send(signal=int(number)))
    line.send(argv=argv, env=dict(os.environ), cwd=os.getcwd())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=pass_stdin, args=[line], daemon=True).start()
    for answer in line.answers():
        if "status" in answer:
            return int(answer["status"])
        for name, fd in (("out", 1), ("err", 2)):
            if name in answer:
                write(fd, base64.b64decode(str(answer[name])))
    raise ConnectionError


def pass_stdin(line: Line) -> None:
    with contextlib.suppress(OSError):  # the command has ended meanwhile
        while data := os.read(0, CHUNK):
            line.send(**{"in": base64.b64encode(data).decode()})
        line.send(**{"in": ""})


def write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@contextlib.contextmanager
def free_port(directory: Path) -> Iterator[socket.socket]:
    """A connection to a port that no other client has. Raises FileNotFoundError, ConnectionRefusedError when off."""
    paths = sorted(directory.glob("control.*"))
    if not paths:
        raise FileNotFoundError(directory)
    for path in itertools.cycle(paths):
        with path.with_name(f"lock-{path.name}").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if path == paths[-1]:
                    time.sleep(PAUSE)
                continue
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(str(path))
                yield connection
                return


if __name__ == "__main__":
    sys.exit(main())
