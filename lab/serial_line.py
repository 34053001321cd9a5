"""Commands through a guest's second serial line.

The guest's `serve` loop holds the line raw and without echo; the kernel and the console have the first line, so nothing
is mixed in. One request is one line, `TOKEN SECONDS BASE64(command)`; the answer is `TOKEN begin`, the output in base64
lines, `TOKEN end STATUS`. Other tokens, such as the rest of an answer that nobody waited for, are passed over.

As a program, `serial_line.py SOCKET SECONDS COMMAND`: where the socket is on another machine. Standard library only.
"""

import base64
import secrets
import socket
import sys
import time
from pathlib import Path
from types import TracebackType

LONGEST_REQUEST = 3000  # bytes; the guest's tty holds 4096 that were not read yet
KNOCK_SECONDS = 1.0  # between the first two requests to a guest that may not listen yet
GRACE_SECONDS = 5.0  # for an answer to come through after the guest itself gave the command up
KILLED = 137  # 128 + SIGKILL: what the guest's `timeout` leaves behind


class SerialLine:
    """One connection to QEMU's Unix socket. QEMU serves one at a time; the next waits for the line to be free."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    @classmethod
    def connect(cls, path: Path) -> "SerialLine":
        """Raises FileNotFoundError or ConnectionRefusedError where the guest is off."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            raise
        return cls(connection)

    def __enter__(self) -> "SerialLine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def wait_ready(self, timeout: float) -> None:
        """Knock until the guest answers. timeout: seconds, TimeoutError after that.

        Knocking again is needed: what arrives before the guest has opened its line is lost. Ever more slowly: a guest
        that needs longer for an answer than the next knock takes to come would never be heard.
        """
        deadline = time.monotonic() + timeout
        knock = KNOCK_SECONDS
        while True:
            try:
                self._request("true", knock, min(deadline, time.monotonic() + knock))
                return
            except TimeoutError:
                if time.monotonic() >= deadline:
                    raise
                knock *= 1.2

    def run(self, command: str, timeout: float) -> tuple[int, str]:
        """(exit status, output). timeout: seconds for the command in the guest, TimeoutError after that."""
        started = time.monotonic()
        status, output = self._request(command, timeout, started + timeout + GRACE_SECONDS)
        if status == KILLED and time.monotonic() - started >= timeout:
            raise TimeoutError(f"In the guest, after {timeout:g} s still running: {command}\n{output}")
        return status, output

    def _request(self, command: str, seconds: float, deadline: float) -> tuple[int, str]:
        token = secrets.token_hex(4)
        request = f"\n{token} {seconds:g} {base64.b64encode(command.encode()).decode()}\n".encode()
        if len(request) > LONGEST_REQUEST:
            raise ValueError(f"A command of {len(command)} characters is too long for the guest's serial line.")
        self._connection.settimeout(max(0.01, deadline - time.monotonic()))
        self._connection.sendall(request)
        while self._line(deadline) != f"{token} begin":
            pass
        encoded = []
        while not (line := self._line(deadline)).startswith(f"{token} end "):
            encoded.append(line)
        output = base64.b64decode("".join(encoded)).decode(errors="replace")
        return int(line.rpartition(" ")[2]), output

    def _line(self, deadline: float) -> str:
        while b"\n" not in self._received:
            self._connection.settimeout(max(0.01, deadline - time.monotonic()))
            part = self._connection.recv(65536)  # TimeoutError past the deadline
            if not part:
                raise ConnectionError("The guest was switched off while it was asked something.")
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return line.decode(errors="replace").strip("\r")


def main() -> int:
    path, seconds, command = sys.argv[1:]
    with SerialLine.connect(Path(path)) as line:
        status, output = line.run(command, float(seconds))
    sys.stdout.write(output)
    return status


if __name__ == "__main__":
    sys.exit(main())
