"""Policy documents of IAM: their grammar, and the statements that apply to a request.

Source: "Grammar of the IAM JSON policy language" (reference_policies_grammar) and the pages of the
elements in the IAM User Guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowyml_aws.testing.iam.conditions import Condition, Context
from flowyml_aws.testing.iam.patterns import Lookup, wildcard
from flowyml_aws.testing.refusal import Refusal

__all__ = ["MalformedPolicyDocument", "Policy", "Statement"]

_CURRENT = "2012-10-17"
_VERSIONS = ("2008-10-17", _CURRENT)
_ELEMENTS = {
    *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource"),
    *("NotResource", "Condition"),
}
_PRINCIPALS = ("AWS", "Service", "Federated", "CanonicalUser")
_ACTION = re.compile(r"\*|[\w-]+:[\w*?-]+")


class MalformedPolicyDocument(Refusal):
    """A policy document that IAM rejects."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of a policy.

    Attributes:
        policy: Name of the policy.
        sid: `Sid`, or the statement's position in the policy.
        effect: `Allow` or `Deny`.
        actions: Patterns of `Action` or `NotAction`.
        is_not_action: Whether the patterns are those of `NotAction`.
        resources: Patterns of `Resource` or `NotResource`; empty for trust policies.
        is_not_resource: Whether the patterns are those of `NotResource`.
        principals: Pairs of a kind (`AWS`, `Service`, …) and a value; empty in policies of
            identities.
        is_not_principal: Whether the principals are those of `NotPrincipal`.
        conditions: Conditions, all of which must hold.
        has_variables: Whether the policy's version has variables.
    """

    policy: str
    sid: str
    effect: str
    actions: tuple[str, ...]
    is_not_action: bool = False
    resources: tuple[str, ...] = ()
    is_not_resource: bool = False
    principals: tuple[tuple[str, str], ...] = ()
    is_not_principal: bool = False
    conditions: tuple[Condition, ...] = ()
    has_variables: bool = True

    @property
    def is_deny(self) -> bool:
        return self.effect == "Deny"

    def applies_to(self, action: str, resource: str, context: Context) -> bool:
        """Return whether the statement applies to a request, whoever sends it."""
        lookup = context.single if self.has_variables else None
        return (
            self._has_action(action)
            and self._has_resource(resource, lookup)
            and all(condition.holds(context, self.has_variables) for condition in self.conditions)
        )

    def _has_action(self, action: str) -> bool:
        # Names of actions are not case-sensitive.
        found = any(_matches(pattern.lower(), action.lower()) for pattern in self.actions)
        return found != self.is_not_action

    def _has_resource(self, resource: str, lookup: Lookup | None) -> bool:
        if not self.resources:
            return True
        expressions = [wildcard(pattern, lookup) for pattern in self.resources]
        if self.is_not_resource and None in expressions:
            return False  # a variable without a value matches no resource in NotResource, either
        found = any(e is not None and e.fullmatch(resource) for e in expressions)
        return found != self.is_not_resource


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, of an identity or of a resource.

    Attributes:
        name: Name for messages.
        statements: Statements in the order of the document.
    """

    name: str
    statements: tuple[Statement, ...]

    @classmethod
    def parse(cls, document: str | Mapping[str, Any], name: str = "policy") -> Policy:
        """Return the policy of a document.

        Args:
            document: JSON text, or the parsed JSON.
            name: Name for messages.

        Raises:
            MalformedPolicyDocument: IAM would reject the document.
        """
        if isinstance(document, str):
            try:
                document = json.loads(document)
            except ValueError as error:
                raise MalformedPolicyDocument("This policy contains invalid Json") from error
        if not isinstance(document, Mapping) or not {*document} <= {"Version", "Id", "Statement"}:
            raise MalformedPolicyDocument("Syntax errors in policy.")
        version = document.get("Version", _VERSIONS[0])
        if version not in _VERSIONS:
            raise MalformedPolicyDocument("The policy must contain a valid version string")
        listed = document.get("Statement")
        parts = [listed] if isinstance(listed, Mapping) else listed
        if not isinstance(parts, Sequence) or isinstance(parts, str) or not parts:
            raise MalformedPolicyDocument("Syntax errors in policy.")
        statements = tuple(
            _statement(part, name, position, version == _CURRENT)
            for position, part in enumerate(parts)
        )
        sids = [part["Sid"] for part in parts if part.get("Sid")]
        if len({*sids}) < len(sids):
            raise MalformedPolicyDocument("Statement IDs (SID) in a single policy must be unique.")
        return cls(name, statements)


def _matches(pattern: str, text: str) -> bool:
    expression = wildcard(pattern)
    return expression is not None and expression.fullmatch(text) is not None


def _statement(part: Any, policy: str, position: int, has_variables: bool) -> Statement:
    if not isinstance(part, Mapping) or not {*part} <= _ELEMENTS:
        raise MalformedPolicyDocument("Syntax errors in policy.")
    if part.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicyDocument(f"Invalid effect: {part.get('Effect')}")
    principals, is_not_principal = _principals(part)
    actions, is_not_action = _one_of(part, "Action")
    if not actions:
        raise MalformedPolicyDocument("Policy statement must contain actions.")
    for action in actions:
        if not _ACTION.fullmatch(action):
            raise MalformedPolicyDocument(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc. "
                f"Invalid action: {action}"
            )
    resources, is_not_resource = _one_of(part, "Resource")
    if not resources and not principals:
        raise MalformedPolicyDocument("Policy statement must contain resources.")
    for resource in resources:
        if resource != "*" and not resource.startswith("arn:"):
            raise MalformedPolicyDocument(f'Resource {resource} must be in ARN format or "*".')
    return Statement(
        policy,
        str(part.get("Sid") or position),
        part["Effect"],
        actions,
        is_not_action,
        resources,
        is_not_resource,
        principals,
        is_not_principal,
        tuple(_conditions(part.get("Condition", {}))),
        has_variables,
    )


def _one_of(part: Mapping[str, Any], name: str) -> tuple[tuple[str, ...], bool]:
    """Return the value of an element or of its negation, and whether it is the negation."""
    negation = f"Not{name}"
    if name in part and negation in part:
        raise MalformedPolicyDocument("Syntax errors in policy.")
    return _strings(part.get(name, part.get(negation, []))), negation in part


def _strings(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in listed):
        raise MalformedPolicyDocument("Syntax errors in policy.")
    return tuple(listed)


def _principals(part: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], bool]:
    if "Principal" in part and "NotPrincipal" in part:
        raise MalformedPolicyDocument("Syntax errors in policy.")
    value = part.get("Principal", part.get("NotPrincipal", {}))
    by_kind = {"AWS": "*"} if value == "*" else value
    if not isinstance(by_kind, Mapping) or not {*by_kind} <= {*_PRINCIPALS}:
        raise MalformedPolicyDocument("Invalid principal in policy")
    pairs = tuple((kind, item) for kind, items in by_kind.items() for item in _strings(items))
    if any("*" in item and item != "*" for _, item in pairs):
        raise MalformedPolicyDocument("Invalid principal in policy")
    return pairs, "NotPrincipal" in part


def _conditions(blocks: Any) -> Iterator[Condition]:
    if not isinstance(blocks, Mapping):
        raise MalformedPolicyDocument("Syntax errors in policy.")
    for operator, keys in blocks.items():
        if not isinstance(keys, Mapping):
            raise MalformedPolicyDocument("Syntax errors in policy.")
        for key, values in keys.items():
            listed = values if isinstance(values, list) else [values]
            try:
                yield Condition.parse(operator, key, tuple(map(_scalar, listed)))
            except ValueError as error:
                raise MalformedPolicyDocument(str(error)) from error


def _scalar(value: Any) -> str:
    """Return the string of a condition value: quotation marks are optional in policies."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (str, int, float)):
        raise MalformedPolicyDocument("Syntax errors in policy.")
    return str(value)
