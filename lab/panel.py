"""The whole product in a lab: Redis, web, worker, collector, and an agent on each host, enrolled as a person would.

The panel's programs live in the namespace `panel` on the lab's LAN, so cutting a host off really cuts its agent off.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic

from typing_extensions import TypeVar

from lab.database import AWAY, Database
from lab.driver import DriverLab, ThisMachine, free_port
from lab.errors import LabError
from lab.host import LabHost
from lab.lab import Lab
from lab.machine import LabMachine
from lab.postgres import Postgres
from lab.redis_server import PORT, RedisConfiguration
from lab.supervisor import Service

ROOT = Path(__file__).resolve().parent.parent
LAN_PORT = 8000
ADMIN = "admin"
SomeLab = TypeVar("SomeLab", bound=Lab | DriverLab, default=Lab)


class LabPanel(Generic[SomeLab]):
    """The panel on a lab that is up.

    port: on this machine's 127.0.0.1, 0 for any free one. postgres: PostgreSQL of the lab's own instead of SQLite.
    """

    def __init__(
        self,
        lab: SomeLab,
        *,
        port: int = 0,
        postgres: bool = False,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.lab = lab
        self.directory = lab.panel.state_dir
        redis_port = free_port() if isinstance(lab, DriverLab) else PORT
        self.redis = RedisConfiguration(self.directory / "redis", lab.panel.address, redis_port)
        self.postgres = Postgres(self.directory / "postgres") if postgres else None
        self.password = secrets.token_urlsafe(12)
        self.services: dict[str, Service] = {}
        self._progress = progress
        self._secret_key = secrets.token_urlsafe(40)
        self._socket = _listen(port)

    @property
    def url(self) -> str:
        """For a browser on this machine."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def lan_url(self) -> str:
        """For the agents."""
        if isinstance(self.lab, DriverLab):
            return self.url
        return f"http://{self.lab.panel.address}:{LAN_PORT}"

    @property
    def database_url(self) -> str:
        return self.postgres.url if self.postgres else f"sqlite:///{self.directory}/db.sqlite3"

    def up(self) -> None:
        """Start everything and wait until a page is answered."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._progress("panel: Redis, database, keys")
        self._service("redis", self.redis.argv(), {})
        if self.postgres:
            self._start_postgres(self.postgres)
        self.manage("make_signing_key")
        self.manage("migrate", "--verbosity=0")
        self.manage("add_user", ADMIN, "--role=operator", "--password-stdin", input=self.password)
        self._progress("panel: web, worker, collector")
        python = sys.executable
        self._service("worker", [python, "manage.py", "worker"], self.environment())
        self._service("collector", [python, "manage.py", "collector"], self.environment())
        lan = [] if isinstance(self.lab, DriverLab) else [str(self.lab.panel.address), str(LAN_PORT)]
        web = [python, "-m", "lab.serve", str(self._socket.fileno()), *lan]
        self._service("web", web, self.web_environment(), pass_fds=(self._socket.fileno(),))
        self.wait_for_page()

    def down(self) -> None:
        """Stop everything; the lab's own take-down removes the files."""
        stores = [self.services.pop(name) for name in ("redis", "postgres") if name in self.services]
        # An agent that waits for orders ends when that wait does, some seconds later; here nobody needs it in order.
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda service: service.down(timeout=1), self.services.values()))
        for store in stores:
            store.down()
        self._socket.close()

    def enrol(self, host: LabHost | ThisMachine, token: str = "") -> Service:
        """Enrol a host by the same path as a person: token, agent, fingerprint compared, approved. Starts its agent.

        token: for a host that the panel knows already; its agent must be down.
        """
        self.introduce(host, token)
        return self.start_agent(host)

    def introduce(self, host: LabMachine | ThisMachine, token: str = "", timeout: float = 60) -> None:
        """The first half of `enrol`; its agent is not started. timeout: seconds for `kvmagent enrol`."""
        self._progress(f"{host.name}: enrol")
        again = ["--again"] if token else []
        token = token or self.manage("add_host", host.name, f"--by={ADMIN}").stdout.strip().splitlines()[-1]
        enrol = [sys.executable, "-m", "kvmagent", "enrol", f"--panel={self.lan_url}", f"--token={token}", *again]
        said = host.run(enrol, timeout=timeout).stdout
        found = re.search(r"(?:[0-9a-f]{4} ?){16}", said)
        if found is None:
            raise LabError(f"{host.name}'s agent printed no fingerprint: {said}", "Run kvmagent enrol on it by hand.")
        self.manage("approve_host", host.name, f"--fingerprint={found.group().strip()}", f"--by={ADMIN}")

    def start_agent(self, host: LabHost | ThisMachine, environment: Mapping[str, str] | None = None) -> Service:
        """The agent of an enrolled host, kept running. environment: more than its host's."""
        name = f"agent-{host.name}"
        log = self.directory / f"{name}.log"
        run = [sys.executable, "-m", "kvmagent", "run", f"--uri={host.uri}"]
        service = Service(name, lambda: host.popen(run, log=log, env=environment))
        self.services[name] = service
        service.up()
        return service

    def manage(self, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """`manage.py …` on the panel's machine with the worker's rights; LabError with what it said when it fails."""
        process = self.lab.panel.popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said, complained = process.communicate(input, timeout=120)
        if process.returncode != 0:
            raise LabError(f"manage.py {arguments[0]} failed: {complained.strip()}", f"Look at {self.directory}.")
        return subprocess.CompletedProcess(arguments, 0, said, complained)

    def database(self) -> Database:
        """The panel's database, to look at rows."""
        return Database(self.database_url)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a SELECT with %s for each value; asked again for 30 s while the database is being started."""
        deadline = time.monotonic() + 30
        while True:
            try:
                with self.database() as database:
                    return database.rows(sql, *values)
            except AWAY:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def wait_for_page(self, timeout: float = 60) -> None:
        """Until the web process answers."""
        self._wait(self._page_is_answered, f"The web process does not answer; read {self.directory}/web.log.", timeout)

    def wait_for_facts(self, host: LabMachine, timeout: float = 60) -> None:
        """Until the panel has what the host's agent found."""
        with self.database() as database:

            def there() -> bool:
                return database.rows("SELECT facts_at FROM hosts_host WHERE name = %s", host.name) not in (
                    [],
                    [(None,)],
                )

            self._wait(there, f"No facts came; read {self.directory}/agent-{host.name}.log.", timeout)

    def _start_postgres(self, postgres: Postgres) -> None:
        postgres.make()
        # SIGINT ends its clients; at SIGTERM it would wait until they have gone by themselves.
        self._service("postgres", postgres.argv(), {}, stop=signal.SIGINT)

        def ready() -> bool:
            try:
                postgres.create_database()
            except subprocess.CalledProcessError:
                return False
            return True

        self._wait(ready, f"PostgreSQL does not answer; read {self.directory}/postgres.log.", timeout=30)

    def _page_is_answered(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/login/", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:  # refused or reset while it starts; HTTPError is one too
            return False

    def _wait(self, condition: Callable[[], bool], otherwise: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise LabError(f"Waited {timeout:.0f} s in vain.", otherwise)
            time.sleep(0.05)

    def environment(self) -> dict[str, str]:
        """Of the worker and the collector: they hold the signing key and Redis' administrator."""
        hosts = ["localhost", "127.0.0.1", str(self.lab.panel.address)]
        return {
            "KVMPANEL_SECRET_KEY": self._secret_key,
            "KVMPANEL_ALLOWED_HOSTS": json.dumps(hosts),
            "KVMPANEL_DATABASE_URL": self.database_url,
            "KVMPANEL_REDIS_URL": self.redis.worker_url,
            "KVMPANEL_AGENT_URL": self.lan_url,
            "KVMPANEL_AGENT_REDIS_URL": self.redis.agent_url,
            "KVMPANEL_SIGNING_KEY": str(self.directory / "signing_key.pem"),
            "KVMPANEL_SIGNING_PUBLIC_KEY": str(self.directory / "signing_key.pub"),
        }

    def web_environment(self) -> dict[str, str]:
        """Of the web process: no signing key, and a Redis user that may only nudge."""
        return self.environment() | {
            "KVMPANEL_REDIS_URL": self.redis.web_url,
            "KVMPANEL_SIGNING_KEY": "/nonexistent/only-the-worker-signs",
        }

    def _service(
        self,
        name: str,
        argv: list[str],
        environment: dict[str, str],
        *,
        stop: signal.Signals = signal.SIGTERM,
        **popen: Any,
    ) -> None:
        log = self.directory / f"{name}.log"

        def start() -> subprocess.Popen[Any]:
            return self.lab.panel.popen(argv, log=log, cwd=ROOT, env=environment, **popen)

        self.services[name] = Service(name, start, stop=stop)
        self.services[name].up()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        why = os.strerror(error.errno or 0)  # its own text names the address a second time
        raise LabError(f"Port {port} of 127.0.0.1: {why}.", "Choose another: make demo PORT=8090.") from None
