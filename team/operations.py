"""Writes to the team. The record lies above this app, so the caller adds the audit event in the same transaction."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.db import transaction

from team.models import Role, RoleBinding, User


@transaction.atomic
def add_user(name: str, password: str, role: Role) -> User:
    """A new person with one role. Raises ValidationError for a bad name or password, or a name that is taken."""
    user = User(username=name)
    validate_password(password, user)
    user.set_password(password)
    user.full_clean()
    user.save()
    RoleBinding.objects.create(user=user, role=role)
    return user
