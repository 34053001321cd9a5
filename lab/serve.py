"""The web process of the lab: one uvicorn on two sockets, because it must be reached from two networks.

`python -m lab.serve FD [ADDRESS PORT]`: FD is a listening socket of the person's own network (127.0.0.1), opened by the
parent; the other is opened here, in the panel's namespace, for the agents that enrol.
"""

import socket
import sys

import uvicorn


def main(fd: str, address: str = "", port: str = "0") -> None:
    config = uvicorn.Config(
        "kvmpanel.asgi:application", lifespan="off", log_level="warning", access_log=False, timeout_graceful_shutdown=2
    )
    sockets = [socket.socket(fileno=int(fd))]
    if address:
        sockets.append(socket.create_server((address, int(port))))
    uvicorn.Server(config).run(sockets=sockets)


if __name__ == "__main__":
    main(*sys.argv[1:])
