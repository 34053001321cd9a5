"""Who works with the panel, and what they may do."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _


class User(AbstractUser):
    """A person of the team."""


class Role(models.TextChoices):
    VIEWER = "viewer", _("Viewer: may look")
    OPERATOR = "operator", _("Operator: may look and change")


class RoleBinding(models.Model):
    """A person holds a role. A scope (which hosts) comes as one more column here, and one more condition in
    team.permissions."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="role_bindings")
    role = models.CharField(max_length=20, choices=Role.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "role"], name="one_binding_of_a_role")]

    def __str__(self) -> str:
        return f"{self.user} · {self.role}"
