"""Runs the lab's commands inside an emulated machine; lab/machine_client.py has the other end.

One process for each virtio-serial port, one command at a time on each. Both sides send lines of JSON that carry the
token of the command that they are about; what has another token, or is torn, is passed over.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import Any

CHUNK = 65536


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
    for entry in Path("/sys/class/virtio-ports").iterdir():
        if (entry / "name").read_text().startswith("lab.") and os.fork() == 0:
            Port(f"/dev/{entry.name}").serve()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


class Port:
    """The guest's end of one port."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        # The kernel sends SIGIO when somebody connects on the other side; poll tells only of those who have gone.
        fcntl.fcntl(self.fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self.fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
        self.received = b""
        self.command: Command | None = None

    def serve(self) -> None:
        while True:
            while nobody_listens(self.fd):
                signal.sigwaitinfo({signal.SIGIO})
            with contextlib.suppress(ConnectionError):
                while True:
                    self.turn()
            if self.command is not None:
                self.command.kill()
                self.command = None
            self.received = b""

    def turn(self) -> None:
        """Wait for anything to happen and see to it. Raises ConnectionError once nobody listens any more."""
        command = self.command
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        for fd in command.fds() if command else ():
            poll.register(fd, select.POLLIN)
        ready = dict(poll.poll())
        if command is not None:
            for name, fd in list(command.outputs.items()):
                if fd in ready:
                    self.pass_on(command, name, fd)
            if command.pidfd in ready:
                self.finish(command)
        if self.fd in ready:
            self.receive()

    def pass_on(self, command: "Command", name: str, fd: int) -> None:
        data = os.read(fd, CHUNK)
        if data:
            self.send({"token": command.token, name: base64.b64encode(data).decode()})
        else:
            del command.outputs[name]

    def finish(self, command: "Command") -> None:
        """What it wrote before it ended is passed on; children that hold its output open are not waited for."""
        status = command.process.wait()
        for name, fd in list(command.outputs.items()):
            while name in command.outputs and select.select([fd], [], [], 0)[0]:
                self.pass_on(command, name, fd)
        self.send({"token": command.token, "status": status if status >= 0 else 128 - status})
        command.close()
        self.command = None

    def receive(self) -> None:
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:  # one client had gone, and before we looked the next one came
            return
        if not data:
            raise ConnectionError
        self.received += data
        *lines, self.received = self.received.split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                self.obey(json.loads(line))

    def obey(self, message: dict[str, Any]) -> None:
        if "argv" in message:
            if self.command is not None:  # of a client that went away while nobody looked
                self.command.kill()
            try:
                self.command = Command(message)
            except OSError as error:
                self.command = None
                said = base64.b64encode(f"{message['argv'][0]}: {error.strerror}\n".encode()).decode()
                self.send({"token": message["token"], "err": said})
                self.send({"token": message["token"], "status": 127})
        elif self.command is not None and message.get("token") == self.command.token:
            self.command.take(message)

    def send(self, message: dict[str, Any]) -> None:
        rest = json.dumps(message).encode() + b"\n"
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        while rest:
            if dict(poll.poll())[self.fd] & select.POLLHUP:
                raise ConnectionError
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(self.fd, rest) :]


class Command:
    """A program that runs for the lab."""

    def __init__(self, start: dict[str, Any]) -> None:
        """Raises OSError where it cannot be started."""
        self.token = start["token"]
        stdin, self.stdin = os.pipe()
        out, stdout = os.pipe()
        err, stderr = os.pipe()
        self.outputs = {"out": out, "err": err}  # those that have not ended
        self.ours = {self.stdin, out, err}
        try:
            self.process = subprocess.Popen(
                start["argv"],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=start["cwd"] if os.path.isdir(start["cwd"]) else "/",
                env=start["env"],
                start_new_session=True,
                preexec_fn=unblock,
            )
        except OSError:
            self.close()
            raise
        finally:
            for fd in (stdin, stdout, stderr):
                os.close(fd)
        self.pidfd = os.pidfd_open(self.process.pid)
        self.ours.add(self.pidfd)

    def fds(self) -> list[int]:
        return [*self.outputs.values(), self.pidfd]

    def take(self, message: dict[str, Any]) -> None:
        if "signal" in message:
            self.process.send_signal(message["signal"])
        elif message.get("in"):
            with contextlib.suppress(BrokenPipeError):
                write(self.stdin, base64.b64decode(message["in"]))
        elif "in" in message:
            self.ours.remove(self.stdin)
            os.close(self.stdin)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.close()

    def close(self) -> None:
        for fd in self.ours:
            os.close(fd)


def write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def nobody_listens(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGIO})


if __name__ == "__main__":
    main()
