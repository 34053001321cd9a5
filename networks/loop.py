"""A loop that outlives its database and its Redis: it says once that one is away, and goes on when it is back."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from types import FrameType

from django.db import Error as DatabaseError
from django.db import connection
from redis import RedisError

log = logging.getLogger(__name__)

LONGEST_PAUSE = 0.5  # so that it goes on within a second or so


class Loop:
    """Calls `turn` until it is stopped; `turn` itself waits for its next work, at most about a second."""

    def __init__(self, turn: Callable[[], None], *, name: str) -> None:
        self._turn = turn
        self._name = name
        self._stopped = False

    def stop_on_signals(self) -> None:
        """SIGTERM and Ctrl-C let the turn finish."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        away = ""
        pause = 0.1
        while not self._stopped:
            try:
                self._turn()
            except (RedisError, OSError) as error:
                missing = f"Redis is away: {error}"
            except DatabaseError as error:
                missing = f"The database is away: {error}"
                connection.close()  # a broken connection is not mended by Django outside of requests
            else:
                if away:
                    log.info("%s: everything is back", self._name)
                away, pause = "", 0.1
                continue
            if not away:
                log.warning("%s: %s", self._name, missing)
            away = missing
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop()
