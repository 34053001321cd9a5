"""Addresses of modes, networks, guests and changes."""

from __future__ import annotations

from django.urls import URLPattern, path

from networks.views import card, change, guest, modes, network, new, search, sriov, vf_card

urlpatterns: list[URLPattern] = [
    path("search/", search.search, name="search"),
    path("modes/", modes.modes, name="modes"),
    path("modes/<slug:mode>/", modes.mode, name="mode"),
    path("hosts/<slug:name>/networks/new/", new.choose_mode, name="choose_mode"),
    path("hosts/<slug:name>/networks/new/<slug:mode>/", new.new_network, name="new_network"),
    path("networks/<uuid:pk>/", network.network, name="network"),
    path("networks/<uuid:pk>/edit/", new.edit_network, name="edit_network"),
    path("networks/<uuid:pk>/start/", network.start_network, name="start_network"),
    path("networks/<uuid:pk>/stop/", network.destroy_network, name="destroy_network"),
    path("networks/<uuid:pk>/autostart/on/", network.set_network_autostart, {"autostart": True}, name="autostart_on"),
    path(
        "networks/<uuid:pk>/autostart/off/", network.set_network_autostart, {"autostart": False}, name="autostart_off"
    ),
    path("networks/<uuid:pk>/undefine/", network.undefine_network, name="undefine_network"),
    path("hosts/<slug:name>/guests/<uuid:uuid>/", guest.guest, name="guest"),
    path("hosts/<slug:name>/guests/<uuid:uuid>/attach/", guest.attach_interface, name="attach_interface"),
    path("hosts/<slug:name>/guests/<uuid:uuid>/detach/<str:mac>/", guest.detach_interface, name="detach_interface"),
    path(
        "hosts/<slug:name>/guests/<uuid:uuid>/detach/<str:mac>/vf/", guest.detach_vf_of_pair, name="detach_vf_of_pair"
    ),
    path("hosts/<slug:name>/guests/<uuid:uuid>/cards/<str:mac>/filter/", card.set_filter, name="set_filter"),
    path(
        "hosts/<slug:name>/guests/<uuid:uuid>/cards/<str:mac>/inbound/",
        card.set_inbound_policy,
        name="set_inbound_policy",
    ),
    path("hosts/<slug:name>/guests/<uuid:uuid>/vf/", vf_card.give_vf, name="give_vf"),
    path("hosts/<slug:name>/sriov/", sriov.sriov, name="sriov"),
    path("hosts/<slug:name>/sriov/<str:pf>/numvfs/", sriov.set_numvfs, name="set_numvfs"),
    path("hosts/<slug:name>/sriov/<str:pf>/vfs/<int:vf>/", sriov.set_vf_attributes, name="set_vf_attributes"),
    path("changes/", change.changes, name="changes"),
    path("changes/<uuid:pk>/", change.change, name="change"),
    path("changes/<uuid:pk>/cancel/", change.cancel_change, name="cancel_change"),
    path("changes/<uuid:pk>/give-up/", change.give_up, name="give_up"),
    path("changes/<uuid:pk>/keep/", change.keep_change, name="keep_change"),
    path("changes/<uuid:pk>/undo/", change.undo_change, name="undo_change"),
    path("changes/<uuid:pk>/retry/", change.retry_change, name="retry_change"),
]
