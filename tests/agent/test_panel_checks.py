"""`kvmagent doctor` on the way to the panel: Redis and the clock."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from kvmagent import panel_checks
from kvmagent.check import Check
from tests.agent.enrolled_host import EnrolledHost
from tests.redis_server import RedisServer


class Panel(HTTPServer):
    """Answers 404 to everything, with the time that it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.now = datetime.now(UTC)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Answer(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        assert isinstance(self.server, Panel)
        self.send_response_only(404)
        self.send_header("Date", format_datetime(self.server.now, usegmt=True))
        self.end_headers()


@pytest.fixture
def panel() -> Iterator[Panel]:
    with Panel() as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def enrolled(directory: Path, monkeypatch: pytest.MonkeyPatch, *, redis_url: str, panel: str) -> EnrolledHost:
    host = EnrolledHost(directory, redis_url=redis_url)
    settings = host.settings.model_copy(update={"panel": panel})
    (host.etc / "agent.json").write_text(settings.model_dump_json())
    for name, value in host.environment.items():
        monkeypatch.setenv(name, value)
    return host


def looked() -> dict[str, Check]:
    return {check.name: check for check in panel_checks.look()}


NOWHERE = "redis://kvm:secret@127.0.0.1:1/0"


def test_a_redis_that_is_not_reachable_is_bad_and_its_password_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, panel: Panel
) -> None:
    enrolled(tmp_path, monkeypatch, redis_url=NOWHERE, panel=panel.url)
    found = looked()
    assert (found["enrolment"].state, found["redis"].state) == ("ok", "bad")
    assert "127.0.0.1:1" in str(found["redis"].text)
    assert "secret" not in str(found)


@pytest.mark.redis
def test_redis_lets_an_approved_host_in_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, panel: Panel
) -> None:
    with RedisServer() as server:
        host = EnrolledHost(tmp_path / "approved")
        url = server.add_host(host.settings.host)
        enrolled(tmp_path / "approved-again", monkeypatch, redis_url=url, panel=panel.url)
        assert looked()["redis"].state == "ok"
        wrong = url.replace("@", "x@", 1)
        enrolled(tmp_path / "pending", monkeypatch, redis_url=wrong, panel=panel.url)
        assert looked()["redis"].state == "bad"
        assert "Approve" in str(looked()["redis"].fix)


@pytest.mark.parametrize(("minutes", "state"), [(0, "ok"), (10, "warn"), (-10, "warn")])
def test_the_clock_is_compared_with_the_panels(
    minutes: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, panel: Panel
) -> None:
    panel.now += timedelta(minutes=minutes)
    enrolled(tmp_path, monkeypatch, redis_url=NOWHERE, panel=panel.url)
    assert looked()["clock"].state == state


def test_a_panel_that_does_not_answer_is_only_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enrolled(tmp_path, monkeypatch, redis_url=NOWHERE, panel="http://127.0.0.1:1/")
    found = looked()
    assert found["panel"].state == "warn"
    assert "clock" not in found
