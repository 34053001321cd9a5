"""Runs in an emulated machine: `kvmagent apply FILE`, which says on the third serial line where it is and waits there.

It goes on when a file of the point's name lies in /run/lab. There is a point after each verb, after each file of the
host's configuration that is written, and at the end. Nothing is written to the disk at a point.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import Any

from kvmagent import __main__, carry_out
from kvmagent.persist import files

LINE, WORDS = Path("/dev/ttyS2"), Path("/run/lab")


_numbers = itertools.count(1)


class Reaching:
    """A host that stops after each verb."""

    def __init__(self, host: Any) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._host, name)

        def done(*arguments: Any, **named: Any) -> None:
            verb(*arguments, **named)
            reach(name)

        return done


def reach(what: str) -> None:
    point = f"{next(_numbers)}-{what}"
    LINE.write_text(f"{point}\n")
    while not (WORDS / point).exists():
        time.sleep(0.02)


def main() -> int:
    apply, put = carry_out._apply, files._put

    def put_and_stop(path: Path, content: str | None) -> None:
        put(path, content)
        reach(path.name)

    carry_out._apply = lambda action, host: apply(action, Reaching(host))  # type: ignore[arg-type]
    files._put = put_and_stop
    status = __main__.main(["apply", sys.argv[1]])
    reach("end")
    return status


if __name__ == "__main__":
    sys.exit(main())
