"""The panel's own Redis: on the lab's LAN for the agents, on a unix socket for the panel's programs."""

from __future__ import annotations

import secrets
from ipaddress import IPv4Address
from pathlib import Path

PORT = 6379


class RedisConfiguration:
    """Writes redis.conf into `directory`, set as a team deploys it: durable, no eviction, default user off."""

    def __init__(self, directory: Path, address: IPv4Address, port: int = PORT) -> None:
        self.directory = directory
        self.address = address
        self.port = port
        self.socket = directory / "redis.sock"
        self.worker_password = secrets.token_urlsafe(24)
        self.web_password = secrets.token_urlsafe(24)

    @property
    def worker_url(self) -> str:
        """For the worker and the collector: an administrator, because the worker keeps the hosts' users."""
        return f"unix://worker:{self.worker_password}@{self.socket}"

    @property
    def web_url(self) -> str:
        """For the web process, which may only nudge the worker."""
        return f"unix://web:{self.web_password}@{self.socket}"

    @property
    def agent_url(self) -> str:
        """Where the agents find it; each has a user of its own, made at enrolment."""
        return f"redis://{self.address}:{self.port}/0"

    def argv(self) -> list[str]:
        """Write the file and give the command line."""
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "redis.conf"
        file.touch(mode=0o600)
        file.write_text(
            "\n".join(
                [
                    f"bind {self.address}",
                    f"port {self.port}",
                    f"unixsocket {self.socket}",
                    "unixsocketperm 700",
                    f"dir {self.directory}",
                    "appendonly yes",
                    "appendfsync always",
                    'save ""',
                    "maxmemory-policy noeviction",
                    # An envelope is at most 4 MB; Redis' own limit for a value would be 512.
                    "proto-max-bulk-len 16mb",
                    # Redis replays its append-only file as this user, and leaves out transactions it may not do.
                    "user default off ~* &* +@all",
                    f"user worker on >{self.worker_password} ~* &* +@all",
                    f"user web on >{self.web_password} ~kvm:panel:* resetchannels -@all +hello +auth +ping +select "
                    "+client|setname +lpush +ltrim",
                    "",
                ]
            )
        )
        return ["redis-server", str(file)]
