"""Every write to networks, guests' cards and changes that a person asks for, and `record_report` for what hosts say.

Each is one transaction with its audit event. Nothing is sent here: the worker is nudged once the transaction stands.
"""

from networks.confirming import keep_change, undo_change
from networks.mac_addresses import free_mac
from networks.operations.cards import (
    attach_interface,
    attach_pair,
    detach_interface,
    detach_vf_of_pair,
    set_inbound_policy,
    set_interface_filter,
)
from networks.operations.changes import RETRIABLE, cancel_change, give_up, retry_change
from networks.operations.networks import (
    define_network,
    destroy_network,
    overtaken,
    set_network_autostart,
    start_network,
    undefine_network,
    update_network,
)
from networks.operations.vfs import set_numvfs, set_vf_attributes
from networks.reports import record_report
from pages.refused import OperationRefused

__all__ = [
    "RETRIABLE",
    "OperationRefused",
    "attach_interface",
    "attach_pair",
    "cancel_change",
    "define_network",
    "destroy_network",
    "detach_interface",
    "detach_vf_of_pair",
    "free_mac",
    "give_up",
    "keep_change",
    "overtaken",
    "record_report",
    "retry_change",
    "set_inbound_policy",
    "set_interface_filter",
    "set_network_autostart",
    "set_numvfs",
    "set_vf_attributes",
    "start_network",
    "undefine_network",
    "undo_change",
    "update_network",
]
