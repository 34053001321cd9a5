"""Runs on a host of the lab: prints the facts as a line of JSON at the start and whenever the watch tells a change."""

import signal
import threading

from kvmagent.facts import read_facts
from kvmagent.libvirt_connection import Libvirt
from kvmagent.watch import Watch


def main() -> None:
    libvirt = Libvirt()
    told = threading.Lock()

    def tell() -> None:
        with told:
            print(read_facts(libvirt).model_dump_json(), flush=True)

    watch = Watch(libvirt, tell)
    watch.start()
    signal.sigwait({signal.SIGTERM})
    watch.stop()
    print("stopped", flush=True)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main()
