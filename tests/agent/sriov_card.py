"""A network card with SR-IOV that is not there: its sysfs tree, and the kernel's answers about its VFs by netlink.

The real one, an emulated Intel 82576 under the kernel's own drivers, is in tests/lab; this one is for speed and for
what that card's driver does not do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from kvmagent import links, sriov, udev, vf_attributes

UNKNOWN = 0xFFFFFFFF
EOPNOTSUPP = 95
NOWHERE = 7  # the index of a link that is not there


@dataclass
class FakeCard:
    """pf: its link. index: of a link that is there; else the card has one that is not. refuses: attributes that the
    driver answers with EOPNOTSUPP. vfs: VF index -> what it has."""

    root: Path
    pf: str = "ens1f0"
    index: int = NOWHERE
    driver: str = "igb"
    totalvfs: int = 8
    refuses: frozenset[str] = frozenset({"trust", "link_state"})
    mac: str = "52:54:00:aa:00:01"
    vfs: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)  # each `ip link set … vf`
    counts: list[int] = field(default_factory=list)  # each write to sriov_numvfs

    def plug_in(self, monkeypatch: pytest.MonkeyPatch) -> FakeCard:
        """From now on the agent sees this card, on a host without udev."""
        devices = self.root / "bus" / "pci" / "devices"
        (self.root / "net").mkdir(parents=True)
        (self.root / "drivers" / self.driver).mkdir(parents=True)
        (self.root / "drivers" / "igbvf").mkdir(parents=True)
        device = devices / "0000:01:00.0"
        device.mkdir(parents=True)
        (device / "sriov_totalvfs").write_text(f"{self.totalvfs}\n")
        (device / "sriov_numvfs").write_text("0\n")
        (device / "numa_node").write_text("1\n")
        (device / "driver").symlink_to(self.root / "drivers" / self.driver)
        (self.root / "net" / self.pf).mkdir()
        (self.root / "net" / self.pf / "device").symlink_to(device)
        self._group(device, 14)
        monkeypatch.setattr(sriov, "SYS_CLASS_NET", self.root / "net")
        monkeypatch.setattr(udev, "RUN", self.root / "udev")
        monkeypatch.setattr(sriov, "write_numvfs", lambda pf, wanted: self.make(wanted))
        monkeypatch.setattr(vf_attributes, "IPRoute", lambda: _Netlink(self))
        real = links.find
        if self.index == NOWHERE:
            monkeypatch.setattr(links, "mac", lambda link: self.mac)
            monkeypatch.setattr(links, "find", lambda _netlink, link: self._find(link))
        else:
            monkeypatch.setattr(
                links,
                "find",
                lambda netlink, link: self._find(link) if isinstance(netlink, _Netlink) else real(netlink, link),
            )
        return self

    @property
    def device(self) -> Path:
        return self.root / "bus" / "pci" / "devices" / "0000:01:00.0"

    def make(self, numvfs: int) -> None:
        """As the kernel does when sriov_numvfs is written; it refuses to go from one number to another but by 0."""
        self.counts.append(numvfs)
        if numvfs and self.vfs:
            raise OSError(16, "Device or resource busy")
        for index in list(self.vfs):
            self.remove(index)
        for index in range(numvfs):
            self._add(index)
        (self.device / "sriov_numvfs").write_text(f"{numvfs}\n")

    def remove(self, index: int) -> None:
        self.vfs.pop(index)
        (self.device / f"virtfn{index}").unlink()

    def bind(self, index: int, driver: str) -> None:
        """Bind a VF to another driver; only the host's own gives it a link."""
        device = self.device.parent / self.address(index)
        (device / "driver").unlink(missing_ok=True)
        (self.root / "drivers" / driver).mkdir(exist_ok=True)
        (device / "driver").symlink_to(self.root / "drivers" / driver)
        for link in list((device / "net").iterdir()):
            if driver == "vfio-pci":
                link.rmdir()
        if driver != "vfio-pci":
            (device / "net" / f"{self.pf}v{index}").mkdir(exist_ok=True)

    def unbind(self, index: int) -> None:
        """A VF without a driver has no link."""
        device = self.device.parent / self.address(index)
        (device / "driver").unlink(missing_ok=True)
        for link in list((device / "net").iterdir()):
            link.rmdir()

    def join_groups(self, *indexes: int) -> None:
        """Put these VFs into one IOMMU group, with a PCI bridge, as boards without ACS do."""
        group = self.root / "iommu" / "99"
        bridge = self.device.parent / "0000:00:1c.0"
        bridge.mkdir()
        (bridge / "class").write_text("0x060400\n")
        (group / "devices").mkdir(parents=True)
        (group / "devices" / bridge.name).symlink_to(bridge)
        for index in indexes:
            device = self.device.parent / self.address(index)
            (device / "iommu_group").unlink()
            (device / "iommu_group").symlink_to(group)
            (group / "devices" / device.name).symlink_to(device)

    @staticmethod
    def address(index: int) -> str:
        """The PCI address of a VF, as an 82576 lays them out."""
        return f"0000:01:10.{index * 2}"

    def _add(self, index: int) -> None:
        self.vfs[index] = {
            "mac": "00:00:00:00:00:00",
            "vlan": 0,
            "qos": 0,
            "spoofchk": 1,
            "trust": UNKNOWN if "trust" in self.refuses else 0,
            "link_state": 0,
            "min_tx_rate": 0,
            "max_tx_rate": 0,
        }
        device = self.device.parent / self.address(index)
        if not device.exists():
            (device / "net" / f"{self.pf}v{index}").mkdir(parents=True)
            (device / "class").write_text("0x020000\n")
            (device / "driver").symlink_to(self.root / "drivers" / "igbvf")
            (device / "physfn").symlink_to(self.device)
            self._group(device, 20 + index)
        (self.device / f"virtfn{index}").symlink_to(device)

    def _group(self, device: Path, number: int) -> None:
        group = self.root / "iommu" / str(number)
        (group / "devices").mkdir(parents=True)
        (group / "devices" / device.name).symlink_to(device)
        (device / "iommu_group").symlink_to(group)

    def _find(self, link: str) -> dict[str, int]:
        if link != self.pf:
            raise links.NoSuchLink(link)
        return {"index": self.index}


@dataclass
class _Netlink:
    card: FakeCard

    def __enter__(self) -> _Netlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def link(self, command: str, *, index: int, ext_mask: int = 0, vf: dict[str, Any] | None = None) -> list[Any]:
        assert index == self.card.index
        if command == "set":
            assert vf is not None
            self._set(dict(vf))
            return []
        return [self._message(with_vfs=ext_mask == 1)]

    def _set(self, asked: dict[str, Any]) -> None:
        self.card.asked.append(dict(asked))
        vf = self.card.vfs.get(asked.pop("vf"))
        if vf is None:
            raise NetlinkError(22, "Invalid argument")
        if set(asked) & self.card.refuses:
            raise NetlinkError(EOPNOTSUPP, "Operation not supported")
        for name, value in asked.items():
            vf.update(value if isinstance(value, dict) else {name: value})

    def _message(self, *, with_vfs: bool) -> Any:
        """Through the bytes that the kernel would send."""
        message = ifinfmsg()
        message["index"] = self.card.index
        told = [("IFLA_VF_INFO", {"attrs": _attributes(index, vf)}) for index, vf in sorted(self.card.vfs.items())]
        message["attrs"] = [("IFLA_VFINFO_LIST", {"attrs": told})] if told and with_vfs else []
        message.encode()
        read = ifinfmsg(message.data)
        read.decode()
        return read


def _attributes(index: int, vf: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("IFLA_VF_MAC", {"vf": index, "mac": vf["mac"]}),
        ("IFLA_VF_VLAN", {"vf": index, "vlan": vf["vlan"], "qos": vf["qos"]}),
        ("IFLA_VF_RATE", {"vf": index, "min_tx_rate": vf["min_tx_rate"], "max_tx_rate": vf["max_tx_rate"]}),
        ("IFLA_VF_SPOOFCHK", {"vf": index, "spoofchk": vf["spoofchk"]}),
        ("IFLA_VF_LINK_STATE", {"vf": index, "link_state": vf["link_state"]}),
        ("IFLA_VF_TRUST", {"vf": index, "trust": vf["trust"]}),
    ]
