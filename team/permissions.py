"""The one place that decides who may look and who may change: one query filter, one check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet

from team.models import Role, User

M = TypeVar("M", bound=Model)


def visible(rows: QuerySet[M], user: User | AnonymousUser) -> QuerySet[M]:
    """Those of `rows` that `user` may see. Every view reads through it, so a stranger's row is a 404."""
    return rows if _may_look(user) else rows.none()


def visible_of_each(kinds: Mapping[str, QuerySet[Any]], user: User | AnonymousUser) -> dict[str, QuerySet[Any]]:
    """`visible` for several kinds of rows, by one look at the roles."""
    sees = _may_look(user)
    return {kind: rows if sees else rows.none() for kind, rows in kinds.items()}


def check_may_look(user: User | AnonymousUser) -> None:
    """PermissionDenied (403) for a person without any role: a list says so, rather than seem empty."""
    if not _may_look(user):
        raise PermissionDenied


def may_change(user: User | AnonymousUser) -> bool:
    """Whether `user` may change what `visible` shows."""
    return _holds(user, Role.OPERATOR)


def check_may_change(user: User | AnonymousUser) -> User:
    """The user, once it is sure that they may change; PermissionDenied (403) else."""
    if not isinstance(user, User) or not may_change(user):
        raise PermissionDenied
    return user


def _may_look(user: User | AnonymousUser) -> bool:
    return _holds(user, Role.VIEWER, Role.OPERATOR)


def _holds(user: User | AnonymousUser, *roles: Role) -> bool:
    if not isinstance(user, User) or not user.is_active:
        return False
    return user.is_superuser or user.role_bindings.filter(role__in=roles).exists()
