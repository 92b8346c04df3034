"""Conditions as the IAM User Guide documents them. Comments name the pages of the cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from flowyml_aws.testing.iam.conditions import Condition, Context

# Operator, values of the policy, value of the request (None: the key is missing), expected result.
Case = tuple[str, "str | Sequence[str]", "str | list[str] | None", bool]

# Page: reference_policies_elements_condition_operators
DATE = "2020-01-01T00:00:01Z"
LATER = "2020-01-01T00:00:02Z"
FINANCE = "arn:aws:someservice:*:111122223333:finance/*"
STORE = "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"
OPERATORS: list[Case] = [
    ("StringEquals", "a", "a", True),
    ("StringEquals", "A", "a", False),
    ("StringEquals", "*", "a", False),
    ("StringEquals", "a", None, False),
    ("StringNotEquals", "a", "b", True),
    ("StringNotEquals", "a", "a", False),
    ("StringNotEquals", "a", None, True),
    ("StringEqualsIgnoreCase", "John", "jOHN", True),
    ("StringEqualsIgnoreCase", "John", None, False),
    ("StringNotEqualsIgnoreCase", "John", "jOHN", False),
    ("StringNotEqualsIgnoreCase", "John", None, True),
    ("StringLike", "h?me/*", "home/x/y", True),
    ("StringLike", "h?me/*", "hme/x", False),
    ("StringLike", "Home/*", "home/x", False),
    ("StringLike", "*", "", True),
    ("StringLike", "*", None, False),
    ("StringLike", FINANCE, STORE, True),
    ("StringNotLike", "a*", "b", True),
    ("StringNotLike", "a*", "ab", False),
    ("StringNotLike", "a*", None, True),
    ("NumericEquals", "10", "10.0", True),
    ("NumericEquals", "1", "one", False),
    ("NumericEquals", "1", None, False),
    ("NumericNotEquals", "10", "10", False),
    ("NumericNotEquals", "10", None, True),
    ("NumericLessThan", "10", "9", True),
    ("NumericLessThan", "10", "10", False),
    ("NumericLessThanEquals", "10", "10", True),
    ("NumericLessThanEquals", "10", None, False),
    ("NumericGreaterThan", "9", "10", True),
    ("NumericGreaterThan", "10", "10", False),
    ("NumericGreaterThanEquals", "10", "10", True),
    ("NumericGreaterThanEquals", "10", "9", False),
    ("DateEquals", "2020-01-01T01:00:00+01:00", "2020-01-01T00:00:00Z", True),
    ("DateEquals", "2020", "2020-01", True),
    ("DateEquals", "2020", "never", False),
    ("DateNotEquals", DATE, LATER, True),
    ("DateNotEquals", DATE, None, True),
    ("DateLessThan", LATER, DATE, True),
    ("DateLessThan", "1577836801", "2020-01-01T00:00:00Z", True),  # seconds since 1970
    ("DateLessThanEquals", DATE, DATE, True),
    ("DateGreaterThan", DATE, LATER, True),
    ("DateGreaterThan", DATE, DATE, False),
    ("DateGreaterThan", DATE, None, False),
    ("DateGreaterThanEquals", LATER, DATE, False),
    ("Bool", "false", "true", False),
    ("Bool", "TRUE", "true", True),
    ("Bool", "false", None, False),
    ("BinaryEquals", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", True),
    ("BinaryEquals", "QQ==", "Qg==", False),
    ("BinaryEquals", "QQ==", None, False),
    ("IpAddress", "203.0.113.0/24", "203.0.113.9", True),
    ("IpAddress", "203.0.113.0/24", "203.0.114.9", False),
    ("IpAddress", "203.0.113.1", "203.0.113.2", False),  # the default mask is /32
    ("IpAddress", ["203.0.113.0/24", "2001:DB8:1234:5678::/64"], "2001:db8:1234:5678::1", True),
    ("IpAddress", "0.0.0.0/0", None, False),
    ("NotIpAddress", "203.0.113.0/24", "203.0.114.9", True),
    ("NotIpAddress", "203.0.113.0/24", "203.0.113.9", False),
    ("NotIpAddress", "203.0.113.0/24", None, True),
    ("ArnLike", FINANCE, STORE, False),  # components are compared separately
    ("ArnLike", "arn:aws:sns:*:1:t*", "arn:aws:sns:us-east-1:1:topic", True),
    ("ArnLike", "arn:aws:*:*:*:*", None, False),
    ("ArnLike", "arn:aws:*:*:*:*", "arn:aws", False),
    ("ArnEquals", "arn:aws:sns:*:1:t*", "arn:aws:sns:us-east-1:1:topic", True),
    ("ArnEquals", "arn:aws:sns:*:1:t*", "topic", False),
    ("ArnNotLike", "arn:aws:sns:*:1:*", "arn:aws:sqs:us-east-1:1:q", True),
    ("ArnNotLike", "arn:aws:sns:*:1:*", "arn:aws:sns:us-east-1:1:topic", False),
    ("ArnNotEquals", "arn:aws:sns:*:1:*", None, True),
    ("StringLikeIfExists", ["t1.*", "t2.*", "m3.*"], None, True),
    ("StringLikeIfExists", ["t1.*", "t2.*", "m3.*"], "t2.micro", True),
    ("StringLikeIfExists", ["t1.*", "t2.*", "m3.*"], "m5.large", False),
    ("StringNotEqualsIfExists", "a", None, True),
    ("BoolIfExists", "true", None, True),
    ("NumericLessThanIfExists", "1", "2", False),
    ("Null", "true", None, True),
    ("Null", "true", "v", False),
    ("Null", "false", "v", True),
    ("Null", "false", None, False),
    # Page: reference_policies_elements_condition (an empty string is null)
    ("Null", "true", "", True),
]
# Pages: reference_policies_multi-value-conditions and
# reference_policies_condition-single-vs-multi-valued-context-keys
SETS: list[Case] = [
    ("StringEquals", ["a", "b"], "b", True),
    ("StringNotEquals", ["a", "b"], "b", False),
    ("StringNotEquals", ["a", "b"], "c", True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
    ("ForAllValues:StringEquals", "a", None, True),
    ("ForAllValues:StringEquals", "a", [], True),
    ("ForAllValues:StringEquals", "a", [""], True),
    ("ForAllValues:StringEquals", "a", "a", True),
    ("ForAllValues:StringNotEquals", ["a", "b"], ["c", "a"], False),
    ("ForAllValues:StringLike", "a*", ["a1", "a2"], True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c", "a"], True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c"], False),
    ("ForAnyValue:StringEquals", "a", None, False),
    ("ForAnyValue:StringEqualsIfExists", "a", None, False),
    ("ForAnyValue:StringLike", "*", [], False),
    ("ForAnyValue:StringNotEquals", ["a", "b"], ["a", "c"], True),
    ("ForAnyValue:StringNotEquals", ["a", "b"], ["a", "b"], False),
    ("ForAnyValue:StringNotEquals", "a", None, False),
    ("forallvalues:stringequals", "a", ["b"], False),
    # Multivalued condition keys require a set operator.
    ("StringEquals", "a", ["a"], False),
    ("StringNotEquals", "a", ["b"], False),
]
# Page: reference_policies_variables. Operator, value of the policy, request, expected result.
DAVID = {"aws:username": "David"}
TEAM = "x-${aws:PrincipalTag/team, 'company-wide'}"
VARIABLES: list[tuple[str, str, Mapping[str, Any], bool]] = [
    ("StringLike", "${aws:username}/*", {**DAVID, "k": "David/x"}, True),
    ("StringLike", "${aws:username}/*", {**DAVID, "k": "Adele/x"}, False),
    ("StringEquals", "${AWS:UserName}", {**DAVID, "k": "David"}, True),
    ("StringEqualsIgnoreCase", "${aws:username}", {**DAVID, "k": "david"}, True),
    (
        "ArnLike",
        "arn:aws:sqs:*:1:${aws:username}-*",
        {**DAVID, "k": "arn:aws:sqs:a:1:David-q"},
        True,
    ),
    ("ArnLike", "arn:aws:s3::${x:y}:*", {"x:y": "1", "k": "arn:aws:s3::1:b"}, True),
    ("NumericEquals", "${n}", {"n": "1", "k": "1"}, False),
    ("StringLike", "${aws:username}*", {"k": "David"}, False),
    # A variable without a value is equal to nothing, and like nothing.
    ("StringNotLike", "${aws:username}*", {"k": "David"}, True),
    ("StringNotEquals", "${aws:username}", {"k": "David"}, True),
    ("StringEquals", "${aws:TagKeys}", {"aws:TagKeys": ["a"], "k": "a"}, False),
    ("StringEquals", TEAM, {"k": "x-company-wide"}, True),
    ("StringEquals", TEAM, {"aws:PrincipalTag/team": "yellow", "k": "x-yellow"}, True),
    ("StringEquals", TEAM, {"aws:PrincipalTag/team": "yellow", "k": "x-company-wide"}, False),
    ("StringLike", "a${*}*", {"k": "a*b"}, True),
    ("StringLike", "a${*}", {"k": "ab"}, False),
    ("StringLike", "a${?}", {"k": "ab"}, False),
    ("StringEquals", "${$}{x}", {"k": "${x}"}, True),
    ("StringLike", "${aws:username}", {"aws:username": "*", "k": "David"}, False),
]


def holds(operator: str, values: str | Sequence[str], context: Mapping[str, Any]) -> bool:
    listed = (values,) if isinstance(values, str) else tuple(values)
    return Condition.parse(operator, "k", listed).holds(Context(context), has_variables=True)


@pytest.mark.parametrize(("operator", "values", "request_value", "expected"), OPERATORS + SETS)
def test_an_operator_compares_as_documented(
    operator: str,
    values: str | Sequence[str],
    request_value: str | list[str] | None,
    expected: bool,
) -> None:
    context = {} if request_value is None else {"k": request_value}
    assert holds(operator, values, context) is expected


@pytest.mark.parametrize(("operator", "value", "context", "expected"), VARIABLES)
def test_a_variable_has_the_value_of_the_request(
    operator: str, value: str, context: Mapping[str, Any], expected: bool
) -> None:
    assert holds(operator, value, context) is expected


def test_policies_of_the_first_version_have_no_variables() -> None:
    condition = Condition.parse("StringLike", "k", ("${aws:username}/*",))
    assert not condition.holds(Context({**DAVID, "k": "David/x"}), has_variables=False)
    assert condition.holds(Context({"k": "${aws:username}/x"}), has_variables=False)


@pytest.mark.parametrize("key", ["aws:ResourceTag/TagKey1", "AWS:resourcetag/tagkey1"])
def test_names_of_keys_are_not_case_sensitive(key: str) -> None:
    # Page: reference_policies_elements_condition
    condition = Condition.parse("StringEquals", key, ("Value1",))
    context = Context({"aws:ResourceTag/tagkey1": "Value1"})
    assert condition.holds(context, has_variables=True)


@pytest.mark.parametrize("operator", ["StringMatches", "NullIfExists", "ForSome:StringEquals", ""])
def test_an_operator_that_aws_does_not_have_is_an_error(operator: str) -> None:
    with pytest.raises(ValueError, match="Invalid Condition type"):
        Condition.parse(operator, "k", ("a",))
