"""A link that a guest owns: the host falls silent there, also after its next start, and speaks again afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmagent import silent_links
from virtnet import direct


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(silent_links, "SYSCTL_D", tmp_path / "sysctl.d")
    monkeypatch.setattr(silent_links, "SYSCTL", tmp_path / "sys")
    return tmp_path


def add(here: Path, link: str, *, arp_ignore: str = "0", disable_ipv6: str | None = "0") -> None:
    for family, name, value in (("ipv4", "arp_ignore", arp_ignore), ("ipv6", "disable_ipv6", disable_ipv6)):
        if value is not None:
            (here / "sys/net" / family / "conf" / link).mkdir(parents=True)
            (here / "sys/net" / family / "conf" / link / name).write_text(f"{value}\n")


def now(here: Path, link: str) -> tuple[str, str]:
    conf = here / "sys/net"
    return (
        (conf / "ipv4/conf" / link / "arp_ignore").read_text().strip(),
        (conf / "ipv6/conf" / link / "disable_ipv6").read_text().strip(),
    )


@pytest.mark.parametrize("link", ["eth1", "bond0.7"])
def test_it_is_silent_now_and_after_the_next_start_and_then_as_it_was(here: Path, link: str) -> None:
    add(here, link, arp_ignore="1", disable_ipv6="0")
    assert not silent_links.is_silent(link)
    silent_links.silence(link)
    assert silent_links.is_silent(link)
    assert now(here, link) == ("8", "1")
    file = here / f"sysctl.d/90-kvmpanel-{link}.conf"
    assert file.read_text() == direct.silence(link, "1", "0")
    assert list(silent_links.silent_links()) == [link]
    silent_links.let_speak(link)
    assert now(here, link) == ("1", "0")
    assert not file.exists()
    assert list(silent_links.silent_links()) == []


def test_a_second_time_keeps_what_was_before_the_first(here: Path) -> None:
    add(here, "eth1")
    silent_links.silence("eth1")
    silent_links.silence("eth1")
    silent_links.let_speak("eth1")
    assert now(here, "eth1") == ("0", "0")


def test_one_that_somebody_let_speak_meanwhile_is_silenced_again(here: Path) -> None:
    add(here, "eth1")
    silent_links.silence("eth1")
    (here / "sys/net/ipv4/conf/eth1/arp_ignore").write_text("0\n")
    assert not silent_links.is_silent("eth1")
    silent_links.silence("eth1")
    assert now(here, "eth1") == ("8", "1")


def test_a_kernel_without_ipv6_and_a_link_that_is_gone(here: Path) -> None:
    add(here, "eth1", disable_ipv6=None)
    silent_links.silence("eth1")
    assert silent_links.is_silent("eth1")
    silent_links.let_speak("eth1")
    silent_links.silence("eth9")
    silent_links.let_speak("eth9")
    assert list(silent_links.silent_links()) == []


def test_a_file_that_somebody_has_emptied_goes_all_the_same(here: Path) -> None:
    add(here, "eth1")
    silent_links.silence("eth1")
    (here / "sysctl.d/90-kvmpanel-eth1.conf").write_text("")
    silent_links.let_speak("eth1")
    assert list(silent_links.silent_links()) == []
