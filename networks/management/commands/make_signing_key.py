"""manage.py make_signing_key: the key that signs the panel's orders."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from networks.signing import make_signing_key


class Command(BaseCommand):
    help = "Make the key that signs orders to the hosts, and the public half that new agents are told."

    def handle(self, *args: Any, **options: Any) -> None:
        environment = settings.ENVIRONMENT
        try:
            fingerprint = make_signing_key(environment.signing_key, environment.signing_public_key)
        except FileExistsError as error:
            raise CommandError(f"{error.filename} is there already; the agents trust that one.") from error
        self.stdout.write(
            f"{environment.signing_key} (keep it secret)\n{environment.signing_public_key}\n{fingerprint}"
        )
