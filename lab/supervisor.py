"""Keeps the programs of the panel and the agents running, as systemd would: what ends is started again."""

import subprocess
import threading
import time
from collections.abc import Callable
from signal import SIGTERM, Signals
from typing import Any

Start = Callable[[], "subprocess.Popen[Any]"]

LONGEST_PAUSE = 2.0  # seconds between two starts of a program that ends at once


class Service:
    """One program. `start` starts it and returns the process; it is called again whenever the process has ended.

    stop: the signal that ends it in order.
    """

    def __init__(self, name: str, start: Start, *, stop: Signals = SIGTERM) -> None:
        self.name = name
        self.starts = 0
        self._start = start
        self._stop = stop
        self._lock = threading.Lock()
        self._process: subprocess.Popen[Any] | None = None
        self._wanted = threading.Event()
        self._thread = threading.Thread()

    def up(self) -> None:
        """Start it and keep it running. Calling it on a running service does nothing."""
        self._wanted.set()
        if not self._thread.is_alive():  # a thread can be started once, so a service that was down gets a new one
            self._thread = threading.Thread(target=self._keep_running, name=f"service-{self.name}", daemon=True)
            self._thread.start()

    def kill(self) -> bool:
        """SIGKILL; it is started again at once. False when it was between two starts."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                return False
            self._process.kill()
            return True

    def signal(self, number: int) -> None:
        """Send it any signal, e.g. SIGSTOP to freeze it."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(number)

    def down(self, timeout: float = 10) -> None:
        """Stop it until `up`: in order, and by SIGKILL when it has not ended in `timeout` seconds."""
        with self._lock:
            self._wanted.clear()
            process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(self._stop)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def pid(self) -> int | None:
        """Of the running process; None between two starts."""
        with self._lock:
            return self._process.pid if self._process is not None and self._process.poll() is None else None

    def _keep_running(self) -> None:
        while True:
            begun = time.monotonic()
            with self._lock:
                if not self._wanted.is_set():
                    return
                self._process = process = self._start()
                self.starts += 1
            process.wait()
            # A program that lived is started again at once; one that ends at once may not take the machine.
            time.sleep(0.1 if time.monotonic() - begun > LONGEST_PAUSE else LONGEST_PAUSE / 4)
