"""Conditions of policy statements.

Sources, in the IAM User Guide: "Condition operators"
(reference_policies_elements_condition_operators), and "Set operators for multivalued context keys"
(reference_policies_condition-single-vs-multi-valued-context-keys).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address, ip_network

from flowyml_aws.testing.iam.patterns import Lookup, literal, wildcard

__all__ = ["Condition", "Context", "Values"]

Values = str | Sequence[str]
"""Value of a condition key. A string is the value of a single-valued key; keys with any other
sequence are multivalued, whatever the number of values."""


class Context:
    """Condition keys of a request. Names of keys are not case-sensitive."""

    def __init__(self, *keys: Mapping[str, Values]) -> None:
        self._values = {
            name.lower(): value if isinstance(value, str) else tuple(value)
            for mapping in keys
            for name, value in mapping.items()
        }

    def get(self, key: str) -> str | tuple[str, ...] | None:
        """Return the value of a key; None if the request does not have it."""
        return self._values.get(key.lower())

    def single(self, key: str) -> str | None:
        """Return the value of a single-valued key; None if there is none."""
        value = self.get(key)
        return value if isinstance(value, str) else None


Test = Callable[[str, str, "Lookup | None"], bool]
"""Compares a value of the request with one of the policy. Strings, ARNs and booleans resolve
variables by the lookup; other operators have no variables."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An operator on one condition key, with the values of the policy.

    Attributes:
        operator: Operator without its prefix and suffix: `StringLike`.
        key: Condition key: `aws:PrincipalTag/team`.
        values: Values of the policy. One of them must match; with a negated operator, none.
        quantifier: `ForAllValues`, `ForAnyValue` or empty.
        if_exists: Whether the condition holds for requests without the key.
    """

    operator: str
    key: str
    values: tuple[str, ...]
    quantifier: str = ""
    if_exists: bool = False

    @classmethod
    def parse(cls, operator: str, key: str, values: tuple[str, ...]) -> Condition:
        """Return the condition of an operator as policies write it.

        Raises:
            ValueError: AWS has no such operator.
        """
        match = _OPERATOR.fullmatch(operator)
        name = _NAMES.get(match["name"].lower()) if match else None
        if match is None or name is None or (name == "Null" and match["if_exists"]):
            raise ValueError(f"Invalid Condition type : {operator}.")
        quantifier = _QUANTIFIERS.get((match["quantifier"] or "").lower(), "")
        return cls(name, key, values, quantifier, bool(match["if_exists"]))

    def holds(self, context: Context, has_variables: bool) -> bool:
        """Return whether the condition holds for a request.

        Args:
            context: Condition keys of the request.
            has_variables: Whether the policy's version has variables.
        """
        value = context.get(self.key)
        if self.operator == "Null":
            return _is_null(value) in {text.lower() == "true" for text in self.values}
        positive, is_negated = _OPERATORS[self.operator]
        lookup = context.single if has_variables else None

        def matches(one: str) -> bool:
            return is_negated != any(positive(one, text, lookup) for text in self.values)

        if self.quantifier:
            # Both ignore IfExists, and empty values count as missing.
            present = [one for one in _listed(value) if one != ""]
            if self.quantifier == "ForAllValues":
                return all(map(matches, present))
            return any(map(matches, present))
        if value is None:
            return is_negated or self.if_exists
        # A multivalued key needs a set operator.
        return isinstance(value, str) and matches(value)


def _listed(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else value


def _is_null(value: str | tuple[str, ...] | None) -> bool:
    return value in (None, "", ())


def _equal(value: str, expected: str, lookup: Lookup | None) -> bool:
    return value == literal(expected, lookup)


def _equal_ignoring_case(value: str, expected: str, lookup: Lookup | None) -> bool:
    resolved = literal(expected, lookup)
    return resolved is not None and value.casefold() == resolved.casefold()


def _like(value: str, pattern: str, lookup: Lookup | None) -> bool:
    expression = wildcard(pattern, lookup)
    return expression is not None and expression.fullmatch(value) is not None


def _arn_like(value: str, pattern: str, lookup: Lookup | None) -> bool:
    """Compare the six components of two ARNs separately."""
    parts, patterns = value.split(":", 5), _arn_components(pattern)
    if len(parts) != 6 or len(patterns) != 6:
        return False
    return all(_like(part, piece, lookup) for part, piece in zip(parts, patterns, strict=True))


def _arn_components(pattern: str) -> list[str]:
    """Split an ARN at colons outside of variables: `${aws:username}` has one, too."""
    return re.split(r":(?![^${]*\})", pattern, maxsplit=5)


def _is_same_bool(value: str, expected: str, lookup: Lookup | None) -> bool:
    resolved = literal(expected, lookup)
    return resolved is not None and value.lower() == resolved.lower()


def _is_same_binary(value: str, expected: str, lookup: Lookup | None) -> bool:
    try:
        return base64.b64decode(value, validate=True) == base64.b64decode(expected, validate=True)
    except ValueError:
        return False


def _is_in_network(value: str, network: str, lookup: Lookup | None) -> bool:
    try:
        return ip_address(value) in ip_network(network, strict=False)
    except ValueError:
        return False


def _numeric(compare: Callable[[Decimal, Decimal], bool]) -> Test:
    def test(value: str, expected: str, lookup: Lookup | None) -> bool:
        try:
            return compare(Decimal(value), Decimal(expected))
        except InvalidOperation:
            return False

    return test


def _dated(compare: Callable[[Decimal, Decimal], bool]) -> Test:
    def test(value: str, expected: str, lookup: Lookup | None) -> bool:
        try:
            return compare(_epoch(value), _epoch(expected))
        except (InvalidOperation, ValueError):
            return False

    return test


def _epoch(text: str) -> Decimal:
    """Return the seconds since 1970 of a date in ISO 8601, or of a number of seconds."""
    if re.fullmatch(r"-?\d+(\.\d+)?", text) and len(text) != 4:
        return Decimal(text)
    padded = text + {4: "-01-01", 7: "-01"}.get(len(text), "")  # `2026` and `2026-11`
    moment = datetime.fromisoformat(padded.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return Decimal(repr(moment.timestamp()))


def _comparisons(
    kind: str, made: Callable[[Callable[[Decimal, Decimal], bool]], Test]
) -> Iterator[tuple[str, tuple[Test, bool]]]:
    yield f"{kind}Equals", (made(Decimal.__eq__), False)
    yield f"{kind}NotEquals", (made(Decimal.__eq__), True)
    yield f"{kind}LessThan", (made(Decimal.__lt__), False)
    yield f"{kind}LessThanEquals", (made(Decimal.__le__), False)
    yield f"{kind}GreaterThan", (made(Decimal.__gt__), False)
    yield f"{kind}GreaterThanEquals", (made(Decimal.__ge__), False)


_OPERATORS: Mapping[str, tuple[Test, bool]] = {
    "StringEquals": (_equal, False),
    "StringNotEquals": (_equal, True),
    "StringEqualsIgnoreCase": (_equal_ignoring_case, False),
    "StringNotEqualsIgnoreCase": (_equal_ignoring_case, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    **dict(_comparisons("Numeric", _numeric)),
    **dict(_comparisons("Date", _dated)),
    "Bool": (_is_same_bool, False),
    "BinaryEquals": (_is_same_binary, False),
    "IpAddress": (_is_in_network, False),
    "NotIpAddress": (_is_in_network, True),
    "ArnEquals": (_arn_like, False),
    "ArnLike": (_arn_like, False),
    "ArnNotEquals": (_arn_like, True),
    "ArnNotLike": (_arn_like, True),
}
"""Operator: the test of one value, and whether the operator negates it."""

_NAMES = {name.lower(): name for name in (*_OPERATORS, "Null")}
_QUANTIFIERS = {name.lower(): name for name in ("ForAllValues", "ForAnyValue")}
_OPERATOR = re.compile(
    r"((?P<quantifier>ForAllValues|ForAnyValue):)?(?P<name>\w+?)(?P<if_exists>IfExists)?",
    re.IGNORECASE,
)
