"""`manage.py add_host NAME --by USER`: a host record and its enrolment token, for those who script it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hosts.forms import HostForm
from hosts.operations import add_host
from pages.refused import OperationRefused
from team.models import User


class Command(BaseCommand):
    help = "Adds a host and prints its enrolment token: good once, for 15 minutes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--by", required=True, metavar="USER", help="on whose behalf; the audit log says so")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["by"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['by']}.")
        form = HostForm({"name": options["name"]})  # a name that fits no address would break the overview
        if not form.is_valid():
            raise CommandError(" ".join(str(error) for error in form.errors["name"]))
        try:
            _, token = add_host(form.cleaned_data["name"], by=user)
        except OperationRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(token)
