"""Decisions of IAM about one permission, within one account.

Sources, in the IAM User Guide: "Policy evaluation for requests within a single account"
(reference_policies_evaluation-logic_policy-eval-denyallow), "Principal"
(reference_policies_elements_principal), "NotPrincipal" (reference_policies_elements_notprincipal),
and "Troubleshoot access denied error messages" (troubleshoot_access-denied).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal

from flowyml_aws.testing.iam.conditions import Context, Values
from flowyml_aws.testing.iam.least import least_policy
from flowyml_aws.testing.iam.permissions import Need
from flowyml_aws.testing.iam.policies import Policy, Statement

__all__ = ["Decision", "Kind", "Principal", "decide"]

Kind = Literal["user", "role", "federated", "root", "service", "anonymous"]

_NONE: Mapping[str, Values] = MappingProxyType({})
_TYPES = {"user": "User", "role": "AssumedRole", "federated": "FederatedUser", "root": "Account"}
_RESOURCE_POLICY, _TRUST_POLICY = "resource-based policy", "role trust policy"
# A role's trust policy must allow these actions, whatever the policies of the identity allow.
_TRUST = ("sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity")


@dataclass(frozen=True, slots=True)
class Principal:
    """The sender of a request.

    Attributes:
        arn: ARN of the user, of the session of a role
            (`arn:aws:sts::123456789012:assumed-role/NAME/SESSION`) or of the account's root user;
            the name of a service (`events.amazonaws.com`).
        account: Account of the sender; empty for services.
        kind: Kind of the sender. `role` is a session of a role.
        tags: Tags of the user, or of the role and its session.
        identity: Policies of the user with its groups, or of the role.
        boundary: Permissions boundary of the user or role.
        session: Policies that were passed when the session began.
    """

    arn: str
    account: str
    kind: Kind = "role"
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    identity: tuple[Policy, ...] = ()
    boundary: Policy | None = None
    session: tuple[Policy, ...] = ()

    @property
    def identity_arn(self) -> str:
        """ARN of the identity that policies are attached to: for a session, its role or user."""
        name = self.arn.split("/")[1] if "/" in self.arn else ""
        if self.kind == "role" and ":assumed-role/" in self.arn:
            return self._sibling(f"role/{name}")
        if self.kind == "federated":
            return self._sibling(f"user/{name}")
        return self.arn

    @property
    def root_arn(self) -> str:
        """ARN of the whole account in policies of resources."""
        return self._sibling("root")

    @property
    def element(self) -> str | dict[str, str]:
        """`Principal` element of a statement that names the identity."""
        if self.kind == "anonymous":
            return "*"
        return {"Service": self.arn} if self.kind == "service" else {"AWS": self.identity_arn}

    @property
    def context(self) -> Mapping[str, Values]:
        """Condition keys that describe the sender."""
        if self.kind == "anonymous":
            return {"aws:PrincipalType": "Anonymous"}
        if self.kind == "service":
            return {
                "aws:PrincipalIsAWSService": "true",
                "aws:PrincipalServiceName": self.arn,
                "aws:PrincipalServiceNamesList": (self.arn,),
            }
        keys: dict[str, Values] = {
            "aws:PrincipalArn": self.identity_arn,
            "aws:PrincipalAccount": self.account,
            "aws:PrincipalType": _TYPES[self.kind],
            "aws:PrincipalIsAWSService": "false",
            **{f"aws:PrincipalTag/{key}": value for key, value in self.tags.items()},
        }
        if self.kind == "user":
            keys["aws:username"] = self.arn.rpartition("/")[2]
        return keys

    def _sibling(self, resource: str) -> str:
        partition = self.arn.split(":")[1] if self.arn.startswith("arn:") else "aws"
        return f"arn:{partition}:iam::{self.account}:{resource}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Decision about one permission of a request.

    Attributes:
        is_allowed: Whether the request is allowed.
        reason: Reason of a denial in the words of AWS's error messages; empty if allowed.
        statement: Statement that decided; None for an implicit denial and for the root user.
        need: Permission that was checked.
        principal: Sender of the request.
    """

    is_allowed: bool
    reason: str
    statement: Statement | None
    need: Need
    principal: Principal

    @property
    def message(self) -> str:
        """Message of AWS's error for a denied request."""
        return (
            f"User: {self.principal.arn} is not authorized to perform: {self.need.action} "
            f"on resource: {self.need.resource} {self.reason}"
        )

    def missing(self) -> dict[str, Any] | None:
        """Return the statement whose addition to the policy in `reason` would allow the request.

        None if the request is allowed, or if a statement denies it: that one must be changed.
        """
        if self.is_allowed or self.statement is not None:
            return None
        statement: dict[str, Any] = least_policy([self.need])["Statement"][0]
        if _TRUST_POLICY in self.reason:
            del statement["Resource"]
        elif _RESOURCE_POLICY not in self.reason:
            return statement
        return {**statement, "Principal": self.principal.element}


class _Grant(Enum):
    """Recipient of a resource policy's statement, from the least to the most direct one."""

    NOBODY = 0
    ACCOUNT = 1
    IDENTITY = 2
    SENDER = 3


def decide(
    need: Need,
    principal: Principal,
    resource_policies: Sequence[Policy] = (),
    context: Mapping[str, Values] = _NONE,
) -> Decision:
    """Return whether a principal has a permission.

    Args:
        need: Permission that the request needs.
        principal: Sender of the request.
        resource_policies: Policies of the resource: of the bucket, of the topic, of the role that
            is assumed (its trust policy).
        context: Condition keys of the whole request, such as `aws:SecureTransport`.
    """
    keys = Context(principal.context, context, need.context)
    identity = tuple(_applying(principal.identity, need, keys))
    boundary = tuple(_applying(_present(principal.boundary), need, keys))
    session = tuple(_applying(principal.session, need, keys))
    resource = tuple(
        (statement, grant)
        for statement in _applying(resource_policies, need, keys)
        if (grant := _grant(statement, principal)) is not _Grant.NOBODY
    )
    is_trust = need.action.lower() in _TRUST
    for kind, statements in (
        ("an identity-based policy", identity),
        (
            f"the {_TRUST_POLICY}" if is_trust else f"a {_RESOURCE_POLICY}",
            tuple(statement for statement, _ in resource),
        ),
        ("a permissions boundary", boundary),
        ("a session policy", session),
    ):
        if denial := next((s for s in statements if s.is_deny), None):
            reason = f"with an explicit deny in {kind}"
            return Decision(False, reason, denial, need, principal)

    def allowed(statement: Statement | None) -> Decision:
        return Decision(True, "", statement, need, principal)

    def denied(kind: str) -> Decision:
        reason = f"because no {kind} allows the {need.action} action"
        return Decision(False, reason, None, need, principal)

    if principal.kind == "root":
        return allowed(None)

    granted, grant = max(resource, key=lambda pair: pair[1].value, default=(None, _Grant.NOBODY))
    if grant is _Grant.SENDER:
        # Granted to the sender itself: boundary and session policies don't limit it.
        return allowed(granted)
    if principal.kind in ("service", "anonymous"):
        return denied(_TRUST_POLICY if is_trust else _RESOURCE_POLICY)
    if is_trust and grant is _Grant.NOBODY:
        return denied(_TRUST_POLICY)
    if grant is not _Grant.IDENTITY:
        granted = next(iter(identity), None)
        if granted is None:
            return denied("identity-based policy")
    if principal.boundary is not None and not boundary:
        return denied("permissions boundary")
    if (principal.session or principal.kind == "federated") and not session:
        return denied("session policy")
    return allowed(granted)


def _present(policy: Policy | None) -> tuple[Policy, ...]:
    return () if policy is None else (policy,)


def _applying(policies: Iterable[Policy], need: Need, context: Context) -> Iterator[Statement]:
    for policy in policies:
        for statement in policy.statements:
            if statement.applies_to(need.action, need.resource, context):
                yield statement


def _grant(statement: Statement, principal: Principal) -> _Grant:
    """Return whom of the sender, its identity and its account a statement names."""
    named = {_named(kind, value, principal) for kind, value in statement.principals}
    if not statement.is_not_principal:
        return max(named, key=lambda grant: grant.value, default=_Grant.NOBODY)
    if not statement.is_deny:
        return _Grant.SENDER if named <= {_Grant.NOBODY} else _Grant.NOBODY
    # A denial spares only a sender whose ARN, role and account are all listed, and none that has a
    # permissions boundary.
    listed = {value for _, value in statement.principals}
    arns = {principal.arn, principal.identity_arn}
    if principal.kind not in ("service", "anonymous"):
        arns.add(principal.account if principal.account in listed else principal.root_arn)
    is_spared = "*" in listed or (arns <= listed and principal.boundary is None)
    return _Grant.NOBODY if is_spared else _Grant.SENDER


def _named(kind: str, value: str, principal: Principal) -> _Grant:
    if value == "*":
        return _Grant.SENDER
    if kind == "Service":
        is_sender = principal.kind == "service" and value == principal.arn
        return _Grant.SENDER if is_sender else _Grant.NOBODY
    if kind != "AWS" or principal.kind in ("service", "anonymous"):
        return _Grant.NOBODY
    if value == principal.arn:
        return _Grant.SENDER
    if _same_identity(value, principal.identity_arn):
        return _Grant.IDENTITY
    return _Grant.ACCOUNT if value in (principal.account, principal.root_arn) else _Grant.NOBODY


def _same_identity(first: str, second: str) -> bool:
    """Return whether an ARN names the role of a session, whose ARN lacks the path of the role."""
    head, _, rest = first.partition("/")
    other_head, _, other = second.partition("/")
    return bool(rest) and head == other_head and rest.split("/")[-1] == other
