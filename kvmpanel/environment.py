"""What differs from one installation to the next, read from environment variables KVMPANEL_*; checked at start."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parent.parent


class PanelEnvironment(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="KVMPANEL_", extra="ignore")

    secret_key: SecretStr
    debug: bool = False
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    trusted_origins: tuple[str, ...] = ()  # e.g. https://panel.example.org, when a proxy ends TLS
    https: bool = False  # cookies and redirects for a panel behind TLS

    # sqlite:////var/lib/kvmpanel/db.sqlite3 or postgresql://user:password@host/name
    database_url: str = f"sqlite:///{BASE_DIR}/var/db.sqlite3"

    # The panel's own way to Redis (worker and collector: an administrator; web: a user that may only nudge).
    redis_url: str = "redis://127.0.0.1:6379/0"
    # The worker gives Redis the user `web` with this password; without one there is no such user.
    web_redis_password: SecretStr = SecretStr("")
    # Where the hosts reach this panel, e.g. https://panel.example.org; "" when it is as the browser does.
    agent_url: str = ""
    # What an agent is told: where Redis is as seen from the hosts. Its user and password are put in at enrolment.
    agent_redis_url: str = "redis://127.0.0.1:6379/0"

    # Only the worker can read the private half; web tells new agents the public half.
    signing_key: Path = BASE_DIR / "var/signing_key.pem"
    signing_public_key: Path = BASE_DIR / "var/signing_key.pub"
