"""New roles and policies of IAM, which take effect after a delay.

moto (5.2) stores them. On AWS, a role that was just created can't be found or assumed for seconds,
and a changed policy still grants what it granted (IAM user guide, "Changes that I make are not
always immediately visible").
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from flowyml_aws.testing.consistency import Transitions

__all__ = ["IamChanges"]

_NEW = "new"
_CHANGED = "changed"
_POLICY_CHANGES = {
    *("AttachRolePolicy", "DetachRolePolicy", "PutRolePolicy", "DeleteRolePolicy"),
    *("UpdateAssumeRolePolicy", "PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary"),
}
_READS = {"GetRole", "GetRolePolicy", "ListRolePolicies", "ListAttachedRolePolicies"}


class IamChanges:
    """Follows the requests to IAM that create or change roles.

    Args:
        roles: Roles that were just created.
        policies: Roles whose policies were just changed.

    Attributes:
        before_change: Callback before the policies of a role change, with its name.
    """

    def __init__(self, roles: Transitions, policies: Transitions) -> None:
        self.before_change: Callable[[str], None] = lambda role: None
        self._roles = roles
        self._policies = policies

    def is_visible(self, role: str) -> bool:
        """Return whether services can find a role that exists, given by name."""
        return self._roles.state(role) is None

    def are_policies_in_effect(self, role: str) -> bool:
        """Return whether the latest policies of a role apply."""
        return self.is_visible(role) and self._policies.state(role) is None

    def follow(self, operation: str, body: bytes) -> bytes | None:
        """Note a request to IAM. Return the error to respond with if it reads a new role."""
        (role,) = parse_qs(body.decode()).get("RoleName", [""])
        if operation in _READS and not self.is_visible(role):
            return _no_such_role(role)
        if operation == "CreateRole":
            self._roles.begin(role, _NEW)
        elif operation in _POLICY_CHANGES:
            self.before_change(role)
            self._policies.begin(role, _CHANGED)
        return None


def _no_such_role(name: str) -> bytes:
    return (
        '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error>'
        "<Type>Sender</Type><Code>NoSuchEntity</Code>"
        f"<Message>The role with name {escape(name)} cannot be found.</Message></Error>"
        f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    ).encode()
