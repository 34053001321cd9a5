"""What is kept for the host's next start is on the disk, its name too, before anybody is told that it is done."""

import base64
import os
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from uuid import uuid4

import pytest

from kvmagent import settings, vf_state
from kvmagent.firewall import Firewall, Former
from kvmagent.guard import write_whole
from kvmagent.vf_state import PfState
from virtnet.firewall import NetworkRules, ruleset

RULES = ruleset([NetworkRules(bridge="virbr1", subnet=IPv4Network("10.1.0.0/24"), masquerade=True)])


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KVMAGENT_STATE", str(tmp_path))
    return tmp_path


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], bool]:
    """Whether a directory is on the disk with the names that are in it now."""
    synced: dict[int, set[str]] = {}
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            synced[os.fstat(descriptor).st_ino] = set(os.listdir(descriptor))

    monkeypatch.setattr(os, "fsync", fsync)
    return lambda directory: synced.get(directory.stat().st_ino) == set(os.listdir(directory))


@pytest.mark.usefixtures("own_network")
def test_a_table_is_there_after_a_power_cut_and_one_that_was_taken_away_is_not(
    state: Path, on_disk: Callable[[Path], bool]
) -> None:
    firewall = Firewall(state / "kvmpanel.nft")
    firewall.load(RULES)
    assert (os.listdir(state), on_disk(state)) == (["kvmpanel.nft"], True)
    firewall.restore(Former(table=None, file=None))
    assert (os.listdir(state), on_disk(state)) == ([], True)


def test_what_is_wanted_of_vfs_is_there_after_a_power_cut(state: Path, on_disk: Callable[[Path], bool]) -> None:
    vf_state.keep("ens1f0", PfState(pci="0000:01:00.0", numvfs=4))
    assert os.listdir(state) == [vf_state.path().name]
    assert on_disk(state)


def test_a_host_that_enrolled_has_not_forgotten_it_after_a_power_cut(
    state: Path, on_disk: Callable[[Path], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVMAGENT_ETC", str(state))
    key = base64.b64encode(bytes(32)).decode()
    settings.save(
        settings.Settings(host=uuid4(), name="node1", panel="http://x/", redis_url="redis://x/", panel_public_key=key)
    )
    assert on_disk(state)
    assert settings.settings_file().stat().st_mode & 0o777 == 0o600


def test_nothing_of_a_write_that_fails_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "plan.json"
    write_whole(file, b"before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"after")
    assert file.read_bytes() == b"before"
