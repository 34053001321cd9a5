"""Files of the host's configuration are put back byte for byte, and what others wrote meanwhile stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvmagent.persist import files, ifupdown, link_files, netplan, networkd, owners
from kvmagent.persist.configuration import masked
from kvmagent.persist.owners import Link
from virtnet.configuration import FileChange
from virtnet.persist.marked import comment_out

FORMER = "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n"


def change(path: Path) -> list[FileChange]:
    after = comment_out(FORMER, {3, 4}, "br0")
    return [
        FileChange(path=str(path / "interfaces.d" / "kvmpanel-br0"), after="auto br0\n"),
        FileChange(path=str(path / "interfaces"), before=FORMER, after=after),
    ]


def test_files_are_put_back_byte_for_byte_with_their_modes(tmp_path: Path) -> None:
    main = tmp_path / "interfaces"
    main.write_text(FORMER)
    main.chmod(0o640)
    files.write(change(tmp_path))
    assert "#kvmpanel:br0# auto eth0\n" in main.read_text()
    assert (tmp_path / "interfaces.d" / "kvmpanel-br0").read_text() == "auto br0\n"
    files.put_back(change(tmp_path), "br0")
    assert main.read_text() == FORMER
    assert main.stat().st_mode & 0o777 == 0o640
    assert not (tmp_path / "interfaces.d" / "kvmpanel-br0").exists()
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["interfaces", "interfaces.d"]


def test_what_somebody_has_written_since_stays(tmp_path: Path) -> None:
    main = tmp_path / "interfaces"
    main.write_text(FORMER)
    files.write(change(tmp_path))
    main.write_text(main.read_text() + "auto eth1\niface eth1 inet manual\n")
    files.put_back(change(tmp_path), "br0")
    assert main.read_text() == FORMER + "auto eth1\niface eth1 inet manual\n"


def test_a_file_that_somebody_took_away_is_put_back(tmp_path: Path) -> None:
    main = tmp_path / "interfaces"
    main.write_text(FORMER)
    files.write(change(tmp_path))
    main.unlink()
    files.put_back(change(tmp_path), "br0")
    assert main.read_text() == FORMER


def test_a_write_that_was_interrupted_is_finished_or_put_back(tmp_path: Path) -> None:
    (tmp_path / "interfaces").write_text(FORMER)
    files.write(change(tmp_path)[:1])  # killed between the two files
    files.write(change(tmp_path))
    assert "#kvmpanel:br0#" in (tmp_path / "interfaces").read_text()
    files.put_back(change(tmp_path), "br0")
    files.put_back(change(tmp_path), "br0")
    assert (tmp_path / "interfaces").read_text() == FORMER


@pytest.mark.parametrize("way", ["removed", "undone"])
def test_all_that_can_be_put_back_is_and_each_that_cannot_is_named(tmp_path: Path, way: str) -> None:
    changes = [FileChange(path=str(tmp_path / name), before="before\n", after="after\n") for name in "abcd"]
    for one in changes:
        Path(one.path).write_text("before\n")
    files.write(changes)
    broken = [tmp_path / "b", tmp_path / "d"]
    for path in broken:
        path.unlink()
        path.mkdir()
    with pytest.raises(OSError, match=r"/d: Is a directory; \S+/b: Is a directory$"):
        files.put_back(changes, "br0") if way == "removed" else files.unwrite(changes)
    assert [(tmp_path / name).read_text() for name in "ac"] == ["before\n", "before\n"]
    for path in broken:
        path.rmdir()
    files.put_back(changes, "br0")
    assert [(tmp_path / name).read_text() for name in "abcd"] == ["before\n"] * 4


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("  wpa-psk 12345678", "  wpa-psk …"),
        ("psk=secret words", "psk=…"),
        ('      password: "secret"', "      password: …"),
        ("private-key=AAAA", "private-key=…"),
        ("address 10.0.0.5/24", "address 10.0.0.5/24"),
    ],
)
def test_no_password_leaves_the_host(line: str, shown: str) -> None:
    assert masked(f"auto lo\n{line}\nauto eth0\n") == f"auto lo\n{shown}\nauto eth0\n"


def test_ifupdown_s_files_are_read_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = tmp_path / "interfaces"
    (tmp_path / "interfaces.d").mkdir()
    (tmp_path / "more").mkdir()
    main.write_text("source interfaces.d/*\nauto lo\nsource-directory more\n")
    (tmp_path / "interfaces.d" / "b").write_text("iface eth1 inet manual\n")
    (tmp_path / "interfaces.d" / "a").write_text(f"iface eth0 inet dhcp\nsource {main}\nsource ../more/d\n")
    (tmp_path / "more" / "c").write_text("iface eth2 inet manual\n")
    (tmp_path / "more" / "d").write_text("iface eth3 inet manual\n")
    monkeypatch.setattr(ifupdown, "MAIN", str(main))
    found = ifupdown.read(Link("eth0", 2, ""))
    assert found is not None
    assert [Path(file.path).name for file in found.files] == ["interfaces", "a", "d", "b", "c"]
    assert found.dhcp
    assert found.client is None  # no dhclient runs for it
    assert ifupdown.read(Link("eth7", 3, "")) is None


def test_the_directory_of_our_drop_in_goes_with_it(tmp_path: Path) -> None:
    for name in ("br0.network.d", "libvirtd.service.d"):
        change = FileChange(path=str(tmp_path / name / "kvmpanel-br0.conf"), after="[Unit]\n")
        files.write([change])
        files.put_back([change], "br0")
    assert list(tmp_path.iterdir()) == []


def test_an_agent_that_lets_nobody_else_read_still_writes_what_the_owner_reads(tmp_path: Path) -> None:
    former = os.umask(0o077)  # kvmagent.service has it
    try:
        made = tmp_path / "systemd" / "network"
        files.write([FileChange(path=str(made / "br0.network.d" / "keep.conf"), after="[Network]\n")])
        assert owners.ask(["sh", "-c", f"umask; : >{tmp_path}/generated"]).strip() == "0022"
    finally:
        os.umask(former)
    assert [one.stat().st_mode & 0o777 for one in (tmp_path / "systemd", made, made / "br0.network.d")] == [0o755] * 3
    assert (tmp_path / "generated").stat().st_mode & 0o777 == 0o644


def test_what_a_power_cut_left_of_a_file_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".interfaces.kvmpanel").write_text("auto b")
    files.write([FileChange(path=str(tmp_path / "interfaces"), after="auto br0\n")])
    assert [one.name for one in tmp_path.iterdir()] == ["interfaces"]


@pytest.fixture
def networkd_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """systemd-networkd has taken eth0 by the file that is returned, with a drop-in of ours of this start."""
    own = tmp_path / "20-wired.network"
    own.write_text("[Match]\nName=eth0\n\n[Network]\nAddress=10.0.0.5/24\n")
    drop_in = tmp_path / networkd.KEPT
    drop_in.write_text(networkd.KEEP)
    (tmp_path / "links").mkdir()
    (tmp_path / "links/2").write_text(f"ADMIN_STATE=configured\nNETWORK_FILE={own}\nNETWORK_FILE_DROPINS={drop_in}\n")
    monkeypatch.setattr(networkd, "is_here", lambda: True)
    monkeypatch.setattr(networkd, "RUN", tmp_path)
    return own


def test_what_networkd_was_told_until_the_next_start_is_not_written_for_good(networkd_runs: Path) -> None:
    found = networkd.read(Link("eth0", 2, ""))
    assert found is not None
    assert [file.path for file in found.files] == [str(networkd_runs)]


def test_a_link_whose_file_has_gone_is_refused_and_the_bridge_not_written_without_its_addresses(
    networkd_runs: Path,
) -> None:
    networkd_runs.unlink()
    found = networkd.read(Link("eth0", 2, ""))
    assert found is not None
    assert found.owner is None
    assert str(networkd_runs) in str(found.why)
    assert netplan.read(Link("eth0", 2, "")) is None


@pytest.mark.parametrize(
    ("match", "names"),
    [
        ("MACAddress=52:54:00:12:34:56", True),
        ("MACAddress=00:00:00:00:00:01 52-54-00-12-34-56\nOriginalName=*\nType=!wlan", True),
        ("MACAddress=52:54:00:12:34:56\nDriver=*", True),
        ("MACAddress=52:54:00:12:34:56\nType=ether", False),
        ("MACAddress=52:54:00:12:34:56\nOriginalName=en*", False),
        ("MACAddress=52:54:00:12:34:57", False),
        ("PermanentMACAddress=52:54:00:12:34:56", False),
        ("Path=pci-0000:01:00.0", False),
    ],
)
def test_a_link_file_that_would_name_the_bridge_as_the_card_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, match: str, names: bool
) -> None:
    monkeypatch.setattr(link_files, "DIRECTORIES", (tmp_path / "etc", tmp_path / "lib"))
    for directory, name, text in (
        ("etc", "10-lan.link", f"[Match]\n{match}\n[Link]\nName=lan0\n"),
        ("lib", "10-lan.link", "[Match]\nMACAddress=52:54:00:12:34:56\n[Link]\nName=hidden\n"),
        ("lib", "99-default.link", "[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep\n"),
    ):
        (tmp_path / directory).mkdir(exist_ok=True)
        (tmp_path / directory / name).write_text(text)
    assert link_files.also_names("52:54:00:12:34:56") == (str(tmp_path / "etc/10-lan.link") if names else "")
