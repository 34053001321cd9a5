"""Real KVM hosts, guests, a LAN and an Internet on this machine, for `make demo` and for tests.

Everything lives in network and mount namespaces that the lab makes and removes; the machine's own network, libvirt,
files and settings are left alone. Needs root.
"""

from lab.errors import LabError
from lab.guest import LabGuest
from lab.host import LabHost
from lab.lab import Lab, remove_abandoned
from lab.machine import LabMachine
from lab.probe import Probe

__all__ = ["Lab", "LabError", "LabGuest", "LabHost", "LabMachine", "Probe", "remove_abandoned"]
