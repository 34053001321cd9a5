"""`python -m benchmarks`: everything, on a lab of its own with one host."""

from __future__ import annotations

from benchmarks import agent_at_rest, bridge_move, define_network, ways_into_a_bridge
from lab import Lab
from lab.panel import LabPanel


def main() -> None:
    with Lab("bench", hosts=1, guests_per_host=0, progress=print) as lab:
        panel = LabPanel(lab, progress=print)
        try:
            panel.up()
            agent = panel.enrol(lab.hosts[0])
            panel.wait_for_facts(lab.hosts[0])
            print(define_network.report(define_network.measure(panel, lab.hosts[0])))
            assert agent.pid is not None
            print(agent_at_rest.report(agent.pid))
        finally:
            panel.down()
    print(bridge_move.report(bridge_move.measure()))
    print(ways_into_a_bridge.report(ways_into_a_bridge.measure()))


if __name__ == "__main__":
    main()
