"""A way to Redis whose open connections can go dead without being closed, as behind a firewall that forgot them."""

from __future__ import annotations

import socket
import threading


class StallingProxy:
    """Forwards 127.0.0.1:`port` to `target`; after `stall` what is open stays open and carries nothing any more."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._age = 0  # connections of an age before this one are dead
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        self._age += 1

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(one, other, self._age), daemon=True).start()

    def _forward(self, one: socket.socket, other: socket.socket, age: int) -> None:
        try:
            while data := one.recv(65_536):
                if age == self._age:
                    other.sendall(data)
            if age == self._age:
                other.shutdown(socket.SHUT_WR)
        except OSError:
            other.close()
