"""A PostgreSQL of the lab's own, for the panel that a team deploys. It listens on a unix socket only."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

from lab.errors import LabError

DATABASE = "kvmpanel"


class Postgres:
    """A cluster in `directory`. PostgreSQL refuses to run as root, so it runs as the package's user `postgres`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def url(self) -> str:
        """For KVMPANEL_DATABASE_URL."""
        return f"postgresql://postgres@/{DATABASE}?host={self.directory}"

    def make(self) -> None:
        """initdb. Whoever can reach the socket is trusted: the lab's directory is closed to everyone but root."""
        self.directory.mkdir(parents=True, mode=0o700)
        shutil.chown(self.directory, "postgres", "postgres")
        initdb = f"{_binaries()}/initdb --auth=trust --encoding=UTF8 --no-sync --pgdata={self._data}"
        subprocess.run(self._as_postgres(initdb), check=True, capture_output=True, text=True)

    def argv(self) -> list[str]:
        """The server in the foreground; a killed one recovers when it is started again."""
        return self._as_postgres(
            f"{_binaries()}/postgres -D {self._data} -k {self._mounted} -c listen_addresses= -c max_connections=50"
        )

    def create_database(self) -> None:
        """CalledProcessError while the server is not ready yet."""
        create = f"psql -h {self._mounted} -d postgres -c 'CREATE DATABASE {DATABASE}'"
        subprocess.run(self._as_postgres(create), check=True, capture_output=True, text=True)

    @property
    def _mounted(self) -> str:
        return "/var/lib/postgresql"

    @property
    def _data(self) -> str:
        return f"{self._mounted}/data"

    def _as_postgres(self, command: str) -> list[str]:
        # The lab's directory is root's alone, so the cluster is shown to the user `postgres` under its usual path.
        mount = f"mount --bind {shlex.quote(str(self.directory))} {self._mounted}"
        user = "setpriv --reuid=postgres --regid=postgres --clear-groups --"
        return [
            "unshare",
            "--mount",
            "--propagation=private",
            "bash",
            "-c",
            f"{mount} && cd / && exec {user} {command}",
        ]


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise LabError("PostgreSQL is not installed.", "apt-get install postgresql")
    return found[-1].parent
