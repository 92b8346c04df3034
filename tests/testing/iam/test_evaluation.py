"""Decisions of the policies of identities, as the IAM User Guide documents them.

Comments name the pages of the cases.
"""

from __future__ import annotations

import pytest

from flowyml_aws.testing.iam.evaluation import decide
from flowyml_aws.testing.iam.needs import Need
from tests.testing.iam.statements import (
    ALLOWED,
    GET,
    PUT,
    READ,
    SESSION,
    Case,
    allow,
    check,
    deny,
    not_allowed_by,
    policy,
    role,
    user,
)

NO_IDENTITY = not_allowed_by("identity-based policy")
NO_BOUNDARY = not_allowed_by("permissions boundary")
NO_SESSION = not_allowed_by("session policy")
DENIED = "with an explicit deny in an identity-based policy"
DENIED_BY_BOUNDARY = "with an explicit deny in a permissions boundary"
DENIED_BY_SESSION = "with an explicit deny in a session policy"

IAM_READER = (allow(["iam:Get*", "iam:List*"]), deny("iam:*Report"))
HR_ONLY = {
    **{"Effect": "Deny", "Action": "s3:*"},
    "NotResource": ["arn:aws:s3:::HRBucket/Payroll", "arn:aws:s3:::HRBucket/Payroll/*"],
}
ALL_BUT_IAM = {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}
NO_MFA = {
    **{"Effect": "Deny", "NotAction": "iam:*", "Resource": "*"},
    "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
}
NOT_HOME = {
    **{"Effect": "Allow", "Action": "s3:*"},
    "NotResource": "arn:aws:s3:::bucket/${aws:username}/*",
}
HOME = allow("s3:*", "arn:aws:s3:::bucket/${aws:username}/*")
TESTED = "arn:aws:s3:::DOC-EXAMPLE-BUCKET/*/test/*"
BOTTOM = "DOC-EXAMPLE-BUCKET/1/2/test/3/object.jpg"
TAGGED = {"StringEquals": {"aws:PrincipalTag/team": "ml"}}

CASES = [
    # Page: reference_policies_evaluation-logic
    Case("by default, requests are denied", user(), GET, NO_IDENTITY),
    Case("an allow overrides the default", user(READ), GET, ALLOWED),
    Case("of another action", user(READ), PUT, NO_IDENTITY),
    Case("a deny overrides allows", user(READ, deny("s3:*")), GET, DENIED),
    Case("a deny of another action", user(READ, deny("s3:Put*")), GET, ALLOWED),
    Case("an implicit deny", user(*IAM_READER), Need("iam:CreatePolicy"), NO_IDENTITY),
    Case("an allow by prefix", user(*IAM_READER), Need("iam:GetRole"), ALLOWED),
    Case(
        "an explicit deny by suffix",
        user(*IAM_READER),
        Need("iam:GetOrganizationsAccessReport"),
        DENIED,
    ),
    Case(
        "a boundary without the action",
        user(READ, boundary=policy(allow("sqs:*"))),
        GET,
        NO_BOUNDARY,
    ),
    Case("a boundary with the action", user(READ, boundary=policy(allow("s3:*"))), GET, ALLOWED),
    Case("a boundary alone grants nothing", user(boundary=policy(READ)), GET, NO_IDENTITY),
    Case(
        "a deny in the boundary",
        user(READ, boundary=policy(allow("*"), deny("s3:*"))),
        GET,
        DENIED_BY_BOUNDARY,
    ),
    Case("a session without policies", role(READ), GET, ALLOWED),
    Case("a session policy", role(READ, session=(policy(READ),)), GET, ALLOWED),
    Case(
        "a session policy without the action",
        role(READ, session=(policy(allow("sqs:*")),)),
        GET,
        NO_SESSION,
    ),
    Case("a session policy alone grants nothing", role(session=(policy(READ),)), GET, NO_IDENTITY),
    Case(
        "several session policies add up",
        role(allow("s3:*"), session=(policy(allow("sqs:*")), policy(READ))),
        GET,
        ALLOWED,
    ),
    Case(
        "a deny in a session policy",
        role(READ, session=(policy(READ, deny("s3:*")),)),
        GET,
        DENIED_BY_SESSION,
    ),
    Case(
        "the boundary of a session's role",
        role(READ, boundary=policy(allow("sqs:*")), session=(policy(READ),)),
        GET,
        NO_BOUNDARY,
    ),
    # Page: reference_policies_elements_principal
    Case("by a tag", user(allow("s3:*", Condition=TAGGED), tags={"team": "ml"}), GET, ALLOWED),
    Case("without the tag", user(allow("s3:*", Condition=TAGGED)), GET, NO_IDENTITY),
    # Page: reference_policies_elements_notaction
    Case("all except IAM", user(ALL_BUT_IAM), GET, ALLOWED),
    Case("all except IAM: IAM", user(ALL_BUT_IAM), Need("iam:GetRole"), NO_IDENTITY),
    Case("all denied except IAM, without MFA", user(allow("*"), NO_MFA), GET, DENIED),
    Case("all denied except IAM: IAM", user(allow("*"), NO_MFA), Need("iam:GetRole"), ALLOWED),
    # Page: reference_policies_elements_notresource
    Case("all denied except a folder", user(allow("s3:*"), HR_ONLY), GET, DENIED),
    Case(
        "all denied except a folder: the folder",
        user(allow("s3:*"), HR_ONLY),
        Need("s3:GetObject", "arn:aws:s3:::HRBucket/Payroll/x"),
        ALLOWED,
    ),
    # Page: reference_policies_elements_resource
    Case(
        "an asterisk includes slashes",
        user(allow("s3:*", TESTED)),
        Need("s3:GetObject", f"arn:aws:s3:::{BOTTOM}"),
        ALLOWED,
    ),
    Case(
        "an asterisk in the middle",
        user(allow("s3:*", TESTED)),
        Need("s3:GetObject", "arn:aws:s3:::DOC-EXAMPLE-BUCKET/1-test/object.jpg"),
        NO_IDENTITY,
    ),
    Case("a question mark", user(allow("s3:*", "arn:aws:s3:::bucket/folder/ke?")), GET, ALLOWED),
    Case("ARNs are case-sensitive", user(allow("s3:*", "arn:aws:s3:::Bucket/*")), GET, NO_IDENTITY),
    Case(
        "an action on all resources needs `*`",
        user(allow("batch:*", "arn:aws:batch:*:*:*")),
        Need("batch:DescribeJobs"),
        NO_IDENTITY,
    ),
    Case(
        "a variable in an ARN",
        user(HOME),
        Need("s3:GetObject", "arn:aws:s3:::bucket/carlos/x"),
        ALLOWED,
    ),
    Case("a variable in an ARN: another folder", user(HOME), GET, NO_IDENTITY),
    Case("a variable in an ARN, for a role", role(HOME), GET, NO_IDENTITY),
    Case("a variable without a value in NotResource", role(NOT_HOME), GET, NO_IDENTITY),
    # Page: reference_policies_elements_action
    Case("names of actions are not case-sensitive", user(allow("S3:getobject")), GET, ALLOWED),
    Case("all actions", user(allow("*")), GET, ALLOWED),
    Case("actions with a wildcard in the middle", user(allow("iam:*AccessKey*")), GET, NO_IDENTITY),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_is_decided_as_documented(case: Case) -> None:
    check(case)


def test_the_message_of_a_denial_is_that_of_aws() -> None:
    # Page: troubleshoot_access-denied
    assert decide(GET, role()).message == (
        f"User: {SESSION} is not authorized to perform: s3:GetObject on resource: "
        "arn:aws:s3:::bucket/folder/key because no identity-based policy allows the s3:GetObject "
        "action"
    )


def test_a_decision_names_its_statement() -> None:
    principal = role(allow("s3:*", Sid="All"), deny("s3:Put*", Sid="NoPut"))
    by_need = {need: decide(need, principal).statement for need in (GET, PUT)}
    assert {need: s and s.sid for need, s in by_need.items()} == {GET: "All", PUT: "NoPut"}


def test_a_denial_has_the_statement_that_would_allow_the_request() -> None:
    passed = Need(
        *("iam:PassRole", "arn:aws:iam::1:role/job"),
        {"iam:PassedToService": "ecs-tasks.amazonaws.com"},
    )
    missing = decide(passed, role()).missing()
    assert missing == {
        "Sid": "IamPassRole",
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": "arn:aws:iam::1:role/job",
        "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
    }
    assert decide(passed, role(missing)).is_allowed


def test_no_statement_is_missing_if_a_statement_denies_the_request() -> None:
    assert decide(GET, role(READ, deny("s3:*"))).missing() is None
    assert decide(GET, role(READ)).missing() is None


def test_condition_keys_of_the_whole_request_are_an_argument() -> None:
    only_tls = deny("*", Condition={"Bool": {"aws:SecureTransport": "false"}})
    principal = role(READ, only_tls)
    assert decide(GET, principal, context={"aws:SecureTransport": "true"}).is_allowed
    assert not decide(GET, principal, context={"aws:SecureTransport": "false"}).is_allowed
