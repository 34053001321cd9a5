"""manage.py collector: reads the hosts' reports into the database. One runs at a time."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from hosts.broker import redis_client
from networks.collecting import Collector
from networks.loop import Loop

WAIT_SECONDS = 1.0


class Command(BaseCommand):
    help = "Read the reports of all hosts, until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        url = settings.ENVIRONMENT.redis_url
        collector = Collector(redis_client(url), redis_client(url, block=WAIT_SECONDS), wait_seconds=WAIT_SECONDS)
        loop = Loop(collector.turn, name="collector")
        loop.stop_on_signals()
        loop.run()
