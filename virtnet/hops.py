"""What lies on the way from a guest outwards: the words of the modes' diagrams, translated when they are drawn."""

from __future__ import annotations

from virtnet.text import gettext_noop

GUEST = gettext_noop("guest")
TAP = gettext_noop("tap")
MACVTAP = gettext_noop("macvtap")
BRIDGE = gettext_noop("bridge")
VIRBR = gettext_noop("virbr")
HOST = gettext_noop("host")
VF = gettext_noop("VF")
PF = gettext_noop("PF")
UPLINK = gettext_noop("uplink")
LAN = gettext_noop("LAN")
INTERNET = gettext_noop("Internet")
