"""`kvmagent enrol` against a panel that the test answers for."""

from __future__ import annotations

import base64
import fcntl
import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kvmagent import settings
from kvmagent.__main__ import main
from kvmagent.keys import fingerprint, in_groups, load_host_key, public_key_from_text, public_key_text
from kvmagent.settings import NotEnrolled

HOST = UUID("5d2e9a30-1111-4222-8333-944455556666")


class Panel:
    """Answers POST /enrol/ with `status` and `body`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate().public_key()
        self.status = 200
        self.body: Any = {
            "host": str(HOST),
            "name": "attic",
            "redis_url": f"redis://kvm-{HOST}:secret@10.77.0.2:6379/0",
            "panel_public_key": public_key_text(self.key),
            "panel_fingerprint": fingerprint(self.key),
        }
        self.asked: list[tuple[str, Any]] = []
        panel = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"]))
                panel.asked.append((self.path, json.loads(asked)))
                self.send_response(panel.status)
                self.end_headers()
                answer = panel.body if isinstance(panel.body, bytes) else json.dumps(panel.body).encode()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Panel]:
    monkeypatch.setenv("KVMAGENT_ETC", str(tmp_path / "etc"))
    panel = Panel()
    yield panel
    panel.server.shutdown()
    panel.server.server_close()


def enrol(panel: Panel, *more: str) -> int:
    return main(["enrol", "--panel", panel.url, "--token", "t0ken", *more])


def test_it_makes_a_key_asks_the_panel_and_keeps_the_answer(panel: Panel, capsys: pytest.CaptureFixture[str]) -> None:
    assert enrol(panel, "--name", "attic.example") == 0
    key = load_host_key(settings.host_key_file()).public_key()
    assert panel.asked == [
        ("/enrol/", {"token": "t0ken", "public_key": public_key_text(key), "hostname": "attic.example"})
    ]
    kept = settings.load()
    assert (kept.host, kept.name, kept.panel, kept.redis_url) == (HOST, "attic", panel.url, panel.body["redis_url"])
    assert public_key_from_text(kept.panel_public_key) == panel.key
    out = capsys.readouterr()
    assert in_groups(fingerprint(key)) in out.out
    assert in_groups(fingerprint(panel.key)) in out.out
    assert "plain http" in out.err
    assert "secret" not in out.out + out.err


def test_its_files_are_readable_by_their_owner_alone(panel: Panel) -> None:
    assert enrol(panel) == 0
    for path in (settings.settings_file(), settings.host_key_file()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(path.name for path in settings.etc().iterdir()) == ["agent.json", "host_key.pem"]


def test_it_does_not_enrol_twice_unless_asked_to(panel: Panel, capsys: pytest.CaptureFixture[str]) -> None:
    assert enrol(panel) == 0
    key = settings.host_key_file().read_bytes()
    assert enrol(panel) == 1
    assert "enrolled already" in capsys.readouterr().err
    assert len(panel.asked) == 1
    panel.body["name"] = "attic again"
    assert enrol(panel, "--again") == 0
    assert settings.load().name == "attic again"
    assert settings.host_key_file().read_bytes() == key


def test_a_wrong_used_or_expired_token_is_said(panel: Panel, capsys: pytest.CaptureFixture[str]) -> None:
    panel.status, panel.body = 403, {"error": "This token is wrong, used or expired."}
    assert enrol(panel) == 1
    assert capsys.readouterr().err.endswith("The panel refused: This token is wrong, used or expired.\n")
    with pytest.raises(NotEnrolled, match="not enrolled"):
        settings.load()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"<html>"),
        (500, {"detail": 1}),
        (200, b"<html>"),
        (200, {}),
        (200, []),
        (200, {"host": 1}),
        (302, b""),
    ],
)
def test_an_address_that_is_no_panel_is_said(
    panel: Panel, capsys: pytest.CaptureFixture[str], status: int, body: object
) -> None:
    panel.status, panel.body = status, body
    assert enrol(panel) == 1
    assert "Is this the panel's address?" in capsys.readouterr().err
    assert not settings.settings_file().exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"panel_public_key": "AAAA"},
        {"redis_url": "http://elsewhere/"},
        {"panel_fingerprint": "00" * 32},
        {"panel_public_key": base64.b64encode(bytes(32)).decode()},
    ],
    ids=str,
)
def test_an_answer_that_does_not_hold_together_is_not_kept(panel: Panel, changed: dict[str, str]) -> None:
    panel.body.update(changed)
    assert enrol(panel) == 1
    assert not settings.settings_file().exists()


def test_a_panel_that_cannot_be_reached_is_said(panel: Panel, capsys: pytest.CaptureFixture[str]) -> None:
    panel.server.server_close()
    assert enrol(panel) == 1
    assert f"The panel cannot be reached at {panel.url}/enrol/" in capsys.readouterr().err


def test_https_is_verified(panel: Panel, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enrol", "--panel", panel.url.replace("http:", "https:"), "--token", "t0ken"]) == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert panel.asked == []


@pytest.mark.parametrize("url", ["ftp://panel", "panel.example.com", "https://", "file:///etc/passwd", "http://x:y"])
def test_it_refuses_what_is_no_address(panel: Panel, capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert main(["enrol", "--panel", url, "--token", "t0ken"]) == 1
    assert "is no address of a panel" in capsys.readouterr().err


def test_damaged_settings_say_what_is_wrong_and_run_ends_with_a_status_of_its_own(
    panel: Panel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run"]) == 78
    assert "not enrolled" in capsys.readouterr().err
    assert enrol(panel) == 0
    written = json.loads(settings.settings_file().read_text())
    settings.settings_file().write_text(json.dumps({**written, "host": str(uuid4()), "more": 1}))
    assert main(["run"]) == 78
    assert "is damaged (more:" in capsys.readouterr().err


def test_a_second_agent_on_the_same_host_is_refused(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KVMAGENT_STATE", str(tmp_path / "state"))
    assert enrol(panel) == 0
    (tmp_path / "state").mkdir()
    with (tmp_path / "state" / "kvmagent.lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        assert main(["run"]) == 78
    assert "Another kvmagent runs" in capsys.readouterr().err
