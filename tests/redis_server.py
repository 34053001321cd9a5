"""A Redis of the test's own: started, killed and frozen by the test, with an ACL user for the panel and each host."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from virtnet.channel import down_prefix, up_stream

# What one worker was measured to need, and no more (tests/agent/test_run.py).
DOWN_COMMANDS = ("-@all", "+hello", "+auth", "+ping", "+multi", "+exec", "+sadd", "+llen", "+brpop")


class RedisServer:
    """redis-server on a free port of 127.0.0.1 with `appendfsync always`; `with RedisServer() as server: …`."""

    def __init__(self, directory: Path | None = None) -> None:
        self._made = tempfile.TemporaryDirectory(prefix="redis-") if directory is None else None
        self._directory = directory or Path(self._made.name if self._made else "")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.password = secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None
        # Nobody can log in as `default`, yet it may do everything: Redis replays its append-only file as that user, and
        # silently leaves out each transaction (MULTI … EXEC) that it may not do.
        users = ("user default off ~* &* +@all", f"user panel on >{self.password} ~* &* +@all")
        (self._directory / "users.acl").write_text("\n".join(users) + "\n")

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._made:
            self._made.cleanup()

    @property
    def url(self) -> str:
        """As the panel's own user, who may do everything."""
        return f"redis://panel:{self.password}@127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client of the panel's user that never tries again by itself."""
        return redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0), socket_timeout=5)

    def start(self) -> None:
        """Starts it, with the data of the time before, and waits until it answers."""
        self._process = subprocess.Popen(
            [
                *("redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._directory)),
                *("--aclfile", str(self._directory / "users.acl"), "--save", ""),
                *("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                self.client().ping()
            except redis.RedisError:
                if self._process.poll() is not None:
                    raise RuntimeError("redis-server ended") from None
                time.sleep(0.02)  # there is nothing to wait on but its answer
            else:
                return
        raise TimeoutError("redis-server did not answer within 10 s")

    def stop(self) -> None:
        """As an administrator stops it."""
        self._signal(signal.SIGTERM)
        self._end()

    def kill(self) -> None:
        """As a crash stops it."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGKILL)
            self._end()

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Connections stay open and nothing is answered, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def add_host(self, host: UUID) -> str:
        """An ACL user for this host, kept over restarts; its URL."""
        password = secrets.token_urlsafe(24)
        self.run("ACL", "SETUSER", f"kvm-{host}", *host_rules(host, password))
        self.run("ACL", "SAVE")
        return f"redis://kvm-{host}:{password}@127.0.0.1:{self.port}/0"

    def denied(self) -> list[str]:
        """What ACL refused, from ACL LOG, e.g. ["command keys", "key kvm:other:up"]."""
        return sorted({f"{_text(entry['reason'])} {_text(entry['object'])}" for entry in self.run("ACL LOG")})

    def run(self, *command: str) -> Any:
        """Any command, as the panel's user; what redis-py makes of the answer."""
        call: Callable[..., Any] = self.client().execute_command
        return call(*command)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self) -> None:
        if self._process is not None:
            self._process.wait(10)
            self._process = None


def host_rules(host: UUID, password: str) -> list[str]:
    """ACL SETUSER rules: the host's own queue, and appending to its own stream of reports."""
    prefix = down_prefix(host)
    return ["reset", "on", f">{password}", *DOWN_COMMANDS, f"~{prefix}*", f"(-@all +xadd ~{up_stream(host)})"]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
