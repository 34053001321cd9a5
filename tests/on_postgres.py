"""`python -m tests.on_postgres [--once-more] [ARGUMENT…]`: the panel's tests on PostgreSQL, as a team deploys it.

It is a cluster of their own. `--once-more`: by tests.once_more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab.postgres import Postgres

READY_WITHIN = 30.0  # seconds


def main() -> int:
    if os.geteuid() != 0:
        # initdb and the server run as the user postgres, which only root can become.
        print("The panel's tests on PostgreSQL need root: skipped.")
        return 1 if os.environ.get("CI") else 0
    with tempfile.TemporaryDirectory(prefix="kvmpanel-postgres-") as directory:
        postgres = Postgres(Path(directory) / "cluster")
        postgres.make()
        with (Path(directory) / "log").open("w") as log:
            server = subprocess.Popen(postgres.argv(), stdout=log, stderr=log)
        try:
            _wait_until_ready(postgres)
            pytest, arguments = "pytest", sys.argv[1:]
            if arguments[:1] == ["--once-more"]:
                pytest, arguments = "tests.once_more", arguments[1:]
            tests = ["-q", "-n", "2", "-m", "not browser and not quiet", "tests/panel", *arguments]
            environment = {**os.environ, "KVMPANEL_DATABASE_URL": postgres.url}
            return subprocess.call([sys.executable, "-m", pytest, *tests], env=environment)
        finally:
            server.terminate()
            server.wait()


def _wait_until_ready(postgres: Postgres) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            postgres.create_database()
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
