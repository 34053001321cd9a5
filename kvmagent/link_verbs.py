"""The verbs on the kernel's links. Making bridges, ports and VFs is not built yet: they are refused in plain words."""

from __future__ import annotations

from kvmagent import links, sriov
from kvmagent.steps import Steps, VerbFailed
from virtnet import verbs
from virtnet.text import text
from virtnet.verbs import Verb


class LinkVerbs:
    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def add_bridge(self, bridge: str) -> None:
        verb = verbs.add_bridge(bridge)
        with self._steps.doing(verb):
            kind = links.kind(bridge)
            if kind == "bridge":
                self._steps.already_so(verb)
            elif kind is None:
                sentence = text(
                    "This agent makes no bridges yet. Make %(bridge)s on the host, then try again.", bridge=bridge
                )
                raise VerbFailed(sentence)
            else:
                sentence = text(
                    "%(bridge)s is a link, but no bridge. Choose another name for the bridge.", bridge=bridge
                )
                raise VerbFailed(sentence)

    def set_master(self, link: str, bridge: str) -> None:
        verb = verbs.set_master(link, bridge)
        with self._steps.doing(verb):
            if links.master(link) == bridge:
                self._steps.already_so(verb)
                return
            sentence = text(
                "This agent makes no link a port of a bridge yet. Make %(link)s a port of %(bridge)s on the host, "
                "then try again.",
                link=link,
                bridge=bridge,
            )
            raise VerbFailed(sentence)

    def set_up(self, link: str) -> None:
        verb = verbs.set_up(link)
        with self._steps.doing(verb):
            if links.is_up(link):
                self._steps.already_so(verb)
                return
            back = Verb(text=text("Set %(link)s down.", link=link), command=f"ip link set {link} down")
            self._steps.push(back, lambda: self._set_down(link))
            links.set_state(link, up=True)
            self._steps.done(verb)

    def set_numvfs(self, pf: str, numvfs: int) -> None:
        verb = verbs.set_numvfs(pf, numvfs)
        with self._steps.doing(verb):
            if sriov.numvfs(pf) == numvfs:
                self._steps.already_so(verb)
                return
            sentence = text(
                "This agent makes no VFs yet. Make %(numvfs)s VFs on %(pf)s on the host (%(command)s), then try again.",
                numvfs=numvfs,
                pf=pf,
                command=verb.command,
            )
            raise VerbFailed(sentence)

    @staticmethod
    def _set_down(link: str) -> bool:
        if not links.is_up(link):
            return False
        links.set_state(link, up=False)
        return True
