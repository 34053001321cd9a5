from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from virtnet.interface import InterfaceSpec

MODELS = get_args(InterfaceSpec.model_fields["model"].annotation)


@pytest.mark.parametrize("model", MODELS)
def test_its_xml_whole(model: str) -> None:
    card = InterfaceSpec.model_validate({"network": "office", "mac": "52-54-00-12-34-56", "model": model})
    assert card.libvirt_xml() == (
        '<interface type="network">\n'
        '  <mac address="52:54:00:12:34:56" />\n'
        '  <source network="office" />\n'
        f'  <model type="{model}" />\n'
        "</interface>"
    )


def test_virtio_unless_told_otherwise() -> None:
    assert InterfaceSpec(network="office", mac="52:54:00:12:34:56").model == "virtio"


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": ""},
        {"network": "a\x01"},
        {"network": "x" * 1025},
        {"mac": "x"},
        {"model": "ne2k"},
        {"type": "direct"},
    ],
)
def test_it_refuses_what_no_card_can_be(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        InterfaceSpec.model_validate({"network": "office", "mac": "52:54:00:12:34:56"} | wrong)
