"""Short forms of policies and principals for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flowyml_aws.testing.iam.evaluation import Principal, decide
from flowyml_aws.testing.iam.needs import Need
from flowyml_aws.testing.iam.policies import Policy

__all__ = [
    "ACCOUNT",
    "ALLOWED",
    "GET",
    "PUT",
    "READ",
    "ROLE",
    "ROOT",
    "SESSION",
    "USER",
    "Case",
    "Statement",
    "allow",
    "check",
    "deny",
    "not_allowed_by",
    "policy",
    "role",
    "user",
]

ACCOUNT = "111122223333"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
USER = f"arn:aws:iam::{ACCOUNT}:user/carlos"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/examplerole"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/examplerole/session"
GET = Need("s3:GetObject", "arn:aws:s3:::bucket/folder/key")
PUT = Need("s3:PutObject", "arn:aws:s3:::bucket/folder/key")

Statement = dict[str, Any]


class Case(NamedTuple):
    """A request, the documented reason of its denial (empty if it is allowed), and the policy of
    the resource.
    """

    name: str
    principal: Principal
    need: Need
    reason: str
    resource: tuple[Statement, ...] = ()


ALLOWED = ""


def not_allowed_by(kind: str) -> str:
    """Return the reason of an implicit denial."""
    return f"because no {kind} allows the {{}} action"


def check(case: Case) -> None:
    """Check the decision about a request."""
    resource_policies = [policy(*case.resource)] if case.resource else []
    decision = decide(case.need, case.principal, resource_policies)
    assert decision.reason == case.reason.format(case.need.action)
    assert decision.is_allowed is (not case.reason)


def allow(action: str | list[str], resource: str | list[str] = "*", **others: Any) -> Statement:
    """Return a statement that allows an action. Other elements are keyword arguments."""
    return {"Effect": "Allow", "Action": action, "Resource": resource, **others}


def deny(action: str | list[str], resource: str | list[str] = "*", **others: Any) -> Statement:
    """Return a statement that denies an action. Other elements are keyword arguments."""
    return {**allow(action, resource, **others), "Effect": "Deny"}


READ = allow("s3:GetObject")


def policy(*statements: Statement) -> Policy:
    return Policy.parse({"Version": "2012-10-17", "Statement": [*statements]})


def user(*statements: Statement, **others: Any) -> Principal:
    """Return the user `carlos` with an identity-based policy."""
    return _principal(USER, "user", statements, others)


def role(*statements: Statement, **others: Any) -> Principal:
    """Return a session of the role `examplerole` with an identity-based policy."""
    return _principal(SESSION, "role", statements, others)


def _principal(
    arn: str, kind: Any, statements: tuple[Statement, ...], others: Mapping[str, Any]
) -> Principal:
    identity = (policy(*statements),) if statements else ()
    return Principal(arn, ACCOUNT, kind, identity=identity, **others)
