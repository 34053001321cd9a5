"""What `kvmagent doctor` finds, on files and firewalls made for it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmagent import doctor, filtering, sriov, vf_restore, vf_state, vfs
from kvmagent.__main__ import main
from kvmagent.check import Check
from kvmagent.doctor import examine
from kvmagent.libvirt_connection import Libvirt
from virtnet.facts import VfsRestored
from virtnet.link_facts import Link, Vf
from virtnet.text import text


@pytest.fixture
def libvirt_test() -> Iterator[Libvirt]:
    libvirt = Libvirt("test:///default")
    yield libvirt
    libvirt.close()


@pytest.fixture(autouse=True)
def not_enrolled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVMAGENT_ETC", str(tmp_path / "etc"))


def check(libvirt: Libvirt, name: str) -> Check:
    return next(one for one in examine(libvirt) if one.name == name)


def test_libvirtd_that_answers_is_ok_and_one_that_is_down_is_bad(libvirt_test: Libvirt) -> None:
    assert check(libvirt_test, "libvirtd").state == "ok"
    down = check(Libvirt("qemu+unix:///system?socket=/nonexistent/sock"), "libvirtd")
    assert down.state == "bad"
    assert "systemctl" in str(down.fix)


def test_a_host_that_is_not_enrolled_is_told_the_command(libvirt_test: Libvirt) -> None:
    found = check(libvirt_test, "enrolment")
    assert found.state == "bad"
    assert "kvmagent enrol" in str(found.fix)


@pytest.mark.parametrize(
    ("vendor", "parameter"), [("GenuineIntel", "intel_iommu=on iommu=pt"), ("AuthenticAMD", "add iommu=pt")]
)
def test_an_iommu_that_is_off_names_the_boot_parameter_of_this_cpu(
    vendor: str, parameter: str, libvirt_test: Libvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"vendor_id : {vendor}\n")
    monkeypatch.setattr(sriov, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(sriov, "IOMMU_GROUPS", tmp_path / "groups")
    found = check(libvirt_test, "iommu")
    assert found.state == "warn"
    assert parameter in str(found.fix)
    (tmp_path / "groups" / "0").mkdir(parents=True)
    assert check(libvirt_test, "iommu").state == "ok"


def test_vfio_that_is_not_there_names_the_command_and_what_keeps_it_over_a_restart(
    libvirt_test: Libvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "VFIO", tmp_path / "vfio")
    found = check(libvirt_test, "vfio")
    assert found.state == "warn"
    assert str(found.fix).startswith("modprobe vfio-pci; a line vfio-pci in /etc/modules-load.d/vfio.conf")
    (tmp_path / "vfio").touch()
    assert check(libvirt_test, "vfio").state == "ok"


def test_vfs_that_will_not_come_back_at_the_next_start_are_named(
    libvirt_test: Libvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVMAGENT_STATE", str(tmp_path))
    monkeypatch.setattr(doctor, "RESTORES_VFS", tmp_path / "kvmpanel-vfs.service")
    vf_state.keep("ens1f0", vf_state.PfState(pci="0000:01:00.0", numvfs=8))
    assert str(check(libvirt_test, "vfs-at-boot").fix) == "systemctl enable kvmpanel-vfs"
    (tmp_path / "kvmpanel-vfs.service").touch()
    restored = VfsRestored(wanted=8, restored=7, problems=(text("VF 3 is not there."),))
    monkeypatch.setattr(vf_restore, "read", lambda: restored)
    found = check(libvirt_test, "vfs-at-boot")
    assert (found.state, str(found.text)) == ("warn", "Last boot: 7 of 8 VFs restored.")


def test_devices_that_share_an_iommu_group_are_named(libvirt_test: Libvirt, monkeypatch: pytest.MonkeyPatch) -> None:
    vf = Vf(index=0, pci_address="0000:01:10.0", group_devices=3)
    pf = Link(name="ens1f0", index=7, totalvfs=8, numvfs=1, vfs=(vf,))
    monkeypatch.setattr(vfs, "with_vfs", lambda links: (pf,))
    assert check(libvirt_test, "pfs").state == "ok"
    found = check(libvirt_test, "iommu-groups")
    assert found.state == "warn"
    assert "ens1f0" in str(found.text)


def test_a_program_that_is_missing_is_named_with_its_package(
    libvirt_test: Libvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(libvirt_test, "nft").state == "ok"
    monkeypatch.setenv("PATH", str(tmp_path))
    found = check(libvirt_test, "nft")
    assert found.state == "bad"
    assert "package nftables" in str(found.fix)


@pytest.mark.usefixtures("own_network")
def test_dockers_forward_drop_is_named(libvirt_test: Libvirt) -> None:
    assert check(libvirt_test, "forward").state == "ok"
    rules = (
        "add table ip filter\n"
        "add chain ip filter DOCKER-USER\n"
        "add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }\n"
    )
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    found = check(libvirt_test, "forward")
    assert found.state == "warn"
    assert "Docker" in str(found.text)
    assert "DOCKER-USER" in str(found.fix)


@pytest.mark.usefixtures("own_network")
def test_another_firewalls_forward_drop_is_named_too(libvirt_test: Libvirt) -> None:
    rules = "add table inet mine\nadd chain inet mine f { type filter hook forward priority filter; policy drop; }\n"
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    found = check(libvirt_test, "forward")
    assert (found.state, "Docker" in str(found.text)) == ("warn", False)


def test_br_netfilter_is_named(libvirt_test: Libvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = tmp_path / "bridge-nf-call-iptables"
    monkeypatch.setattr(filtering, "BR_NETFILTER", switch)
    assert check(libvirt_test, "br_netfilter").state == "ok"
    switch.write_text("1\n")
    assert check(libvirt_test, "br_netfilter").state == "warn"


def test_the_command_prints_every_check_and_fails_for_a_bad_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--uri", "test:///default"]) == 1
    said = capsys.readouterr().out
    assert " bad  enrolment: " in said
    assert main(["doctor", "--uri", "test:///default", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {one["state"] for one in found} <= {"ok", "warn", "bad"}
    assert [one["name"] for one in found][:2] == ["libvirtd", "kvm"]
