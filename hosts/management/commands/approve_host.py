"""`manage.py approve_host NAME --fingerprint F --by USER`: as the page does, with the fingerprint compared here."""

from __future__ import annotations

import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hosts.models import Host
from hosts.operations import approve_host, fingerprint
from pages.refused import OperationRefused
from team.models import User


class Command(BaseCommand):
    help = "Approves a pending host, once its fingerprint is the one that its agent printed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--fingerprint", required=True, help="as `kvmagent enrol` printed it on the host")
        parser.add_argument("--by", required=True, metavar="USER", help="on whose behalf; the audit log says so")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["by"]).first()
        host = Host.objects.filter(name=options["name"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['by']}.")
        if host is None:
            raise CommandError(f"There is no host {options['name']}.")
        if not secrets.compare_digest(_plain(fingerprint(host)), _plain(options["fingerprint"])):
            raise CommandError(f"{host} has another fingerprint: {fingerprint(host)}. Do not approve it.")
        try:
            approve_host(host, by=user)
        except OperationRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{host} is approved.")


def _plain(fingerprint: str) -> str:
    return "".join(fingerprint.split()).lower()
