"""libvirt has a way of its own to make host bridges (virInterface*, by netcf). It cannot do what is needed, and has cut
hosts off: the agent never uses it."""

from __future__ import annotations

import ast
from pathlib import Path

import libvirt

import kvmagent

NEVER = {
    *(name for name in dir(libvirt.virConnect) if "nterface" in name),
    "changeBegin",
    "changeCommit",
    "changeRollback",
}


def test_the_agent_never_calls_libvirt_s_host_interfaces() -> None:
    assert {"interfaceDefineXML", "listAllInterfaces", "changeBegin"} <= NEVER
    files = sorted(Path(str(kvmagent.__file__)).parent.rglob("*.py"))
    assert len(files) > 40
    called = {
        f"{file.name}: {node.attr}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in NEVER
    }
    assert called == set()
