from __future__ import annotations

import json
from typing import Any

import pytest

from flowyml_aws.testing.iam.policies import MalformedPolicyDocument, Policy
from tests.support.infra import INFRA
from tests.support.infra import policy as infra_policy

STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
NAMES = sorted(path.stem for path in (INFRA / "account/policies").glob("*.json"))


def document(*statements: Any, **others: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [*statements], **others}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in STATEMENT.items() if key != name}


# Grammar: reference_policies_grammar in the IAM User Guide.
@pytest.mark.parametrize(
    "malformed",
    [
        pytest.param("{", id="no JSON"),
        pytest.param([], id="a list"),
        pytest.param({"Version": "2012-10-17"}, id="no statement"),
        pytest.param(document(), id="an empty list of statements"),
        pytest.param(document(STATEMENT, Version="2020-01-01"), id="another version"),
        pytest.param(document(STATEMENT, Comment="x"), id="an unknown element"),
        pytest.param(document({**STATEMENT, "Actions": "s3:*"}), id="an unknown part"),
        pytest.param(document(without("Effect")), id="no effect"),
        pytest.param(document({**STATEMENT, "Effect": "allow"}), id="another effect"),
        pytest.param(document(without("Action")), id="no action"),
        pytest.param(document({**STATEMENT, "NotAction": "s3:*"}), id="actions twice"),
        pytest.param(document({**STATEMENT, "Action": "GetObject"}), id="no service"),
        pytest.param(document({**STATEMENT, "Action": []}), id="an empty list of actions"),
        pytest.param(document({**STATEMENT, "Action": [1]}), id="a number"),
        pytest.param(document(without("Resource")), id="no resource"),
        pytest.param(document({**STATEMENT, "NotResource": "*"}), id="resources twice"),
        pytest.param(document({**STATEMENT, "Resource": "bucket/*"}), id="no ARN"),
        pytest.param(
            document({**TRUST, "Principal": {"AWS": "arn:aws:iam::1:role/*"}}),
            id="a part of a principal",
        ),
        pytest.param(document({**TRUST, "Principal": {"User": "x"}}), id="an unknown principal"),
        pytest.param(document({**TRUST, "NotPrincipal": "*"}), id="principals twice"),
        pytest.param(document({**STATEMENT, "Condition": []}), id="conditions in a list"),
        pytest.param(
            document({**STATEMENT, "Condition": {"StringEquals": "x"}}), id="no condition key"
        ),
        pytest.param(
            document({**STATEMENT, "Condition": {"Equals": {"k": "x"}}}), id="an unknown operator"
        ),
        pytest.param(
            document({**STATEMENT, "Sid": "A"}, {**STATEMENT, "Sid": "A"}), id="an id twice"
        ),
    ],
)
def test_a_malformed_document_is_an_error(malformed: Any) -> None:
    with pytest.raises(MalformedPolicyDocument):
        Policy.parse(malformed)


def test_the_text_of_a_document_is_parsed() -> None:
    (statement,) = Policy.parse(json.dumps(document(STATEMENT)), "reader").statements
    assert (statement.policy, statement.sid) == ("reader", "0")


def test_a_single_statement_needs_no_list() -> None:
    assert len(Policy.parse({"Statement": STATEMENT}).statements) == 1


def test_numbers_and_booleans_need_no_quotation_marks() -> None:
    condition = {"NumericLessThan": {"s3:max-keys": 10}, "Bool": {"aws:SecureTransport": True}}
    (statement,) = Policy.parse(document({**STATEMENT, "Condition": condition})).statements
    assert [c.values for c in statement.conditions] == [("10",), ("true",)]


@pytest.mark.parametrize("name", NAMES)
def test_the_policies_of_infra_are_well_formed(name: str) -> None:
    assert Policy.parse(infra_policy(name), name).statements
