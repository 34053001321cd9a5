"""The panel's settings for tests and type checking: nothing needs to be set in the environment."""

import os

os.environ.setdefault("KVMPANEL_SECRET_KEY", "only-for-tests-and-development")

from kvmpanel.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast; no real password is ever kept with it
