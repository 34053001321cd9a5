"""The two Celery tasks of the agent. Each has one argument, a sealed message; everything else is in `orders`."""

from __future__ import annotations

from celery import Celery

from kvmagent.orders import Orders
from kvmagent.watchdog import Watchdog
from virtnet.channel import CARRY_OUT, PING


def register(app: Celery, orders: Orders, watchdog: Watchdog) -> None:
    """Gives the app our two tasks and no other."""

    def carry_out(sealed: object) -> None:
        with watchdog.at_work():
            orders.receive(sealed)

    def ping(sealed: object) -> None:
        with watchdog.at_work():
            orders.ping(sealed)

    app.finalize()
    for own_of_celery in list(app.tasks):
        # celery.map, celery.chord and their like run or send other tasks.
        del app.tasks[own_of_celery]
    app.task(name=CARRY_OUT)(carry_out)
    app.task(name=PING)(ping)
