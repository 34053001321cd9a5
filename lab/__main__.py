"""`python -m lab demo | up | down | status | run HOST COMMAND… | fetch`"""

import argparse
import sys
import time

from lab import Lab, LabError, demo, disk_image, guest_image, sriov_qemu
from lab.host import LabHost


def main() -> int:
    arguments = _parser().parse_args()
    try:
        return int(arguments.action(arguments))
    except LabError as error:
        print(f"lab: {error.problem}\n     {error.remedy}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    up = actions.add_parser("up", help="put a lab up and leave it up")
    up.add_argument("--hosts", type=int, default=2, help="how many KVM hosts (default 2)")
    up.add_argument("--guests", type=int, default=1, help="how many guests on each (default 1)")
    up.add_argument("--start-guests", action="store_true", help="start the guests and wait until they are ready")
    up.set_defaults(action=_up)
    down = actions.add_parser("down", help="take a lab down, also one whose process was killed")
    down.set_defaults(action=_down)
    status = actions.add_parser("status", help="show what is up")
    status.set_defaults(action=_status)
    run = actions.add_parser("run", help="run a command on a machine of the lab (hosta, panel, client, router …)")
    run.add_argument("machine")
    run.add_argument("command", nargs=argparse.REMAINDER)
    run.set_defaults(action=_run)
    fetch = actions.add_parser(
        "fetch", help="fetch and build what is kept for labs and their machines, where it is not there"
    )
    fetch.set_defaults(action=_fetch)
    for action in (up, down, status, run, demo.add_parser(actions)):
        action.add_argument("--prefix", default="kp", help="name of the lab (default kp)")
    return parser


def _up(arguments: argparse.Namespace) -> int:
    started = time.monotonic()

    def tell(part: str) -> None:
        print(f"{time.monotonic() - started:5.1f} s  {part}", flush=True)

    lab = Lab(arguments.prefix, arguments.hosts, arguments.guests, progress=tell)
    lab.up()
    if arguments.start_guests:
        tell("guests")
        lab.start_guests()
    lab.leave_up()
    tell(f"lab “{arguments.prefix}” is up")
    _print_machines(lab)
    return 0


def _down(arguments: argparse.Namespace) -> int:
    lab = Lab.find(arguments.prefix)
    if lab.state.owner is not None and lab.state.owner_is_alive():
        pid = lab.state.owner.pid
        raise LabError(f"Process {pid} uses lab “{arguments.prefix}”.", f"Stop that process first (kill {pid}).")
    lab.down()
    print(f"lab “{arguments.prefix}” is down")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    lab = Lab.find(arguments.prefix)
    if lab.state.is_abandoned():
        print(f"lab “{arguments.prefix}” was killed; python -m lab down --prefix {arguments.prefix} removes the rest")
        return 1
    owner = lab.state.owner
    print(f"lab “{arguments.prefix}” is up, {f'used by process {owner.pid}' if owner else 'left up'}")
    _print_machines(lab)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    lab = Lab.find(arguments.prefix)
    machines = {machine.name: machine for machine in lab.machines()}
    machine = machines.get(arguments.machine)
    if machine is None:
        raise LabError(f"The lab has no machine “{arguments.machine}”.", f"Choose one of {', '.join(machines)}.")
    # In this terminal's session, so that a shell can be run and Ctrl-C reaches the command.
    command = arguments.command or ["bash"]
    return machine.popen(command, stdin=None, start_new_session=False).wait()


def _fetch(_: argparse.Namespace) -> int:
    started = time.monotonic()

    def tell(part: str) -> None:
        print(f"{time.monotonic() - started:5.1f} s  {part}", flush=True)

    guest_image.ensure(tell)
    guest_image.with_vf_driver(tell)
    disk_image.ensure(tell)
    sriov_qemu.tree(tell)
    tell("all is there")
    return 0


def _print_machines(lab: Lab) -> None:
    for machine in lab.machines():
        guests = (
            f"  guests: {', '.join(guest.name for guest in machine.guests)}" if isinstance(machine, LabHost) else ""
        )
        print(f"  {machine.name:10}{machine.address!s:16}{guests}")


if __name__ == "__main__":
    sys.exit(main())
