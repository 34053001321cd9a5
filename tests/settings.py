"""The panel's settings for tests and type checking: nothing needs to be set in the environment."""

import os
import tempfile

os.environ.setdefault("KVMPANEL_SECRET_KEY", "only-for-tests-and-development")

from kvmpanel.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast; no real password is ever kept with it

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file, so that the tests can start the worker and the collector as processes beside it.
    _directory = tempfile.TemporaryDirectory(prefix="kvmpanel-test-")  # goes with this process
    DATABASES["default"]["TEST"] = {"NAME": f"{_directory.name}/db.sqlite3"}  # noqa: F405
