"""A bridge is taken out of the host's own configuration only when it has really gone."""

from __future__ import annotations

import pytest

from kvmagent import links
from kvmagent.persist import bridge as lasting
from kvmagent.persist_verbs import PersistVerbs
from kvmagent.steps import Steps, VerbFailed
from virtnet.configuration import LinkConfiguration
from virtnet.messages import Step


def test_a_bridge_that_its_owner_has_made_again_is_told_and_its_files_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    uplink = LinkConfiguration(link="eth0", owner="networkmanager")
    record = lasting.Record(bridge="br0", mark="", owner="networkmanager", uplink=uplink, changes=())
    monkeypatch.setattr(lasting, "record_of", lambda bridge: record)
    monkeypatch.setattr(lasting, "put_back", lambda record: pytest.fail("its files were taken away"))
    monkeypatch.setattr(links, "kind", lambda link: "bridge")
    told: list[Step] = []
    with pytest.raises(VerbFailed, match="NetworkManager has made br0 again"):
        PersistVerbs(Steps(told.append)).forget_bridge("br0", gone=True)
    assert [step.outcome for step in told] == ["failed"]


def test_a_bridge_that_others_still_need_stays_in_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "record_of", lambda bridge: None)
    told: list[Step] = []
    PersistVerbs(Steps(told.append)).forget_bridge("br0", gone=False)
    assert [step.outcome for step in told] == ["already-so"]
