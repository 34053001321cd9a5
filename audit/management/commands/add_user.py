"""manage.py add_user NAME --role operator|viewer: a person of the team."""

from __future__ import annotations

import secrets
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from audit.models import Outcome
from audit.record import record
from team.models import Role, User
from team.operations import add_user


class Command(BaseCommand):
    help = "Add a person. A password is made and printed, unless --password-stdin is given."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--role", choices=[role.value for role in Role], required=True)
        parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        given = options["password_stdin"]
        password = sys.stdin.readline().rstrip("\n") if given else secrets.token_urlsafe(15)
        role = Role(options["role"])
        try:
            with transaction.atomic():
                _record(add_user(options["name"], password, role), role)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"{options['name']} was added." if given else password)


def _record(user: User, role: Role) -> None:
    record(
        "add-user",
        Outcome.DONE,
        by=None,
        object_type="user",
        object_id=user.pk,
        object_name=user.get_username(),
        detail={"role": role.value, "by": "the command line"},
    )
