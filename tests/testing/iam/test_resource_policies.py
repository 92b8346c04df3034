"""Decisions of the policies of resources, as the IAM User Guide documents them.

Comments name the pages of the cases.
"""

from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.testing.iam.evaluation import Principal, decide
from flowyml_aws.testing.iam.needs import Need
from flowyml_aws.testing.iam.policies import Policy
from tests.support.infra import named
from tests.support.infra import policy as infra_policy
from tests.testing.iam.statements import (
    ACCOUNT,
    ALLOWED,
    GET,
    PUT,
    READ,
    ROLE,
    ROOT,
    SESSION,
    USER,
    Case,
    Statement,
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
NO_RESOURCE = not_allowed_by("resource-based policy")
NO_TRUST = not_allowed_by("role trust policy")
DENIED_BY_RESOURCE = "with an explicit deny in a resource-based policy"
DENIED_BY_TRUST = "with an explicit deny in the role trust policy"

ROOT_USER = Principal(ROOT, ACCOUNT, "root")
FEDERATED = Principal(f"arn:aws:sts::{ACCOUNT}:federated-user/carlos", ACCOUNT, "federated")
ANONYMOUS = Principal("anonymous", "", "anonymous")
EVENTS = Principal("events.amazonaws.com", "", "service")
ASSUME = Need("sts:AssumeRole", ROLE)
SPARED = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}


def bucket_policy(principal: Any, **others: Any) -> tuple[Statement, ...]:
    return (allow("s3:GetObject", Principal=principal, **others),)


CASES = [
    # Page: reference_policies_evaluation-logic
    Case("the root user has full access", ROOT_USER, GET, ALLOWED),
    Case(
        "either policy suffices: the bucket's", user(), GET, ALLOWED, bucket_policy({"AWS": USER})
    ),
    Case("a bucket policy for another action", user(), PUT, NO_IDENTITY, bucket_policy("*")),
    Case(
        "a bucket policy for another user",
        user(),
        GET,
        NO_IDENTITY,
        bucket_policy({"AWS": f"arn:aws:iam::{ACCOUNT}:user/adele"}),
    ),
    Case(
        "a deny in the bucket policy",
        user(READ),
        GET,
        DENIED_BY_RESOURCE,
        (deny("s3:*", Principal="*"),),
    ),
    Case(
        "a deny in the bucket policy, for the root user",
        ROOT_USER,
        GET,
        DENIED_BY_RESOURCE,
        (deny("s3:*", Principal="*"),),
    ),
    # The table "Resource-based policies and implicit denies in other policy types".
    Case(
        "a grant to a user is not limited",
        user(boundary=policy(allow("sqs:*"))),
        GET,
        ALLOWED,
        bucket_policy({"AWS": USER}),
    ),
    Case("a grant to a role", role(), GET, ALLOWED, bucket_policy({"AWS": ROLE})),
    Case(
        "a grant to a role, limited",
        role(boundary=policy(allow("sqs:*"))),
        GET,
        NO_BOUNDARY,
        bucket_policy({"AWS": ROLE}),
    ),
    Case(
        "a grant to a role, limited",
        role(session=(policy(allow("sqs:*")),)),
        GET,
        NO_SESSION,
        bucket_policy({"AWS": ROLE}),
    ),
    Case(
        "a grant to a session is not limited",
        role(boundary=policy(allow("sqs:*")), session=(policy(allow("sqs:*")),)),
        GET,
        ALLOWED,
        bucket_policy({"AWS": SESSION}),
    ),
    Case(
        "a grant to another session",
        role(),
        GET,
        NO_IDENTITY,
        bucket_policy({"AWS": f"{SESSION}2"}),
    ),
    Case(
        "a grant to a federated user",
        FEDERATED,
        GET,
        ALLOWED,
        bucket_policy({"AWS": FEDERATED.arn}),
    ),
    Case(
        "a grant to the user who federated, limited",
        FEDERATED,
        GET,
        NO_SESSION,
        bucket_policy({"AWS": USER}),
    ),
    Case(
        "a federated user without a session policy",
        Principal(FEDERATED.arn, ACCOUNT, "federated", identity=(policy(READ),)),
        GET,
        NO_SESSION,
    ),
    # Page: reference_policies_elements_principal
    Case("an account delegates", user(), GET, NO_IDENTITY, bucket_policy({"AWS": ROOT})),
    Case(
        "an account by its id delegates", user(), GET, NO_IDENTITY, bucket_policy({"AWS": ACCOUNT})
    ),
    Case("all principals", user(), GET, ALLOWED, bucket_policy("*")),
    Case("all principals of AWS", role(), GET, ALLOWED, bucket_policy({"AWS": "*"})),
    Case("an anonymous request", ANONYMOUS, GET, ALLOWED, bucket_policy("*")),
    Case("an anonymous request without a grant", ANONYMOUS, GET, NO_RESOURCE),
    Case(
        "a role with a path",
        role(),
        GET,
        ALLOWED,
        bucket_policy({"AWS": f"arn:aws:iam::{ACCOUNT}:role/service-role/examplerole"}),
    ),
    Case("one of several", user(), GET, ALLOWED, bucket_policy({"AWS": [ROLE, USER]})),
    Case(
        "a service",
        EVENTS,
        GET,
        ALLOWED,
        bucket_policy({"Service": ["ecs.amazonaws.com", "events.amazonaws.com"]}),
    ),
    Case(
        "another service", EVENTS, GET, NO_RESOURCE, bucket_policy({"Service": "sns.amazonaws.com"})
    ),
    Case("a service without a grant", EVENTS, GET, NO_RESOURCE),
    Case(
        "a service is not an account", EVENTS, GET, NO_RESOURCE, bucket_policy({"AWS": EVENTS.arn})
    ),
    Case("a user is not a service", user(), GET, NO_IDENTITY, bucket_policy({"Service": USER})),
    Case(
        "by the key of the role",
        role(),
        GET,
        ALLOWED,
        bucket_policy("*", Condition={"ArnEquals": {"aws:PrincipalArn": ROLE}}),
    ),
    Case(
        "by the key of another role",
        role(),
        GET,
        NO_IDENTITY,
        bucket_policy("*", Condition={"ArnEquals": {"aws:PrincipalArn": f"{ROLE}2"}}),
    ),
    # Page: reference_policies_elements_notprincipal
    Case(
        "all except a user and its account: the user",
        user(READ),
        GET,
        ALLOWED,
        ({**SPARED, "NotPrincipal": {"AWS": [USER, ROOT]}},),
    ),
    Case(
        "all except a user, without its account",
        user(READ),
        GET,
        DENIED_BY_RESOURCE,
        ({**SPARED, "NotPrincipal": {"AWS": USER}},),
    ),
    Case(
        "all except a user: a role",
        role(READ),
        GET,
        DENIED_BY_RESOURCE,
        ({**SPARED, "NotPrincipal": {"AWS": [USER, ROOT]}},),
    ),
    Case(
        "all except a session, its role and account",
        role(READ),
        GET,
        ALLOWED,
        ({**SPARED, "NotPrincipal": {"AWS": [SESSION, ROLE, ACCOUNT]}},),
    ),
    Case(
        "all except a session, without its role",
        role(READ),
        GET,
        DENIED_BY_RESOURCE,
        ({**SPARED, "NotPrincipal": {"AWS": [SESSION, ROOT]}},),
    ),
    Case(  # page: access_policies_boundaries
        "all except a user with a boundary",
        user(READ, boundary=policy(READ)),
        GET,
        DENIED_BY_RESOURCE,
        ({**SPARED, "NotPrincipal": {"AWS": [USER, ROOT]}},),
    ),
    Case(
        "an allow for all except a user: the user",
        user(),
        GET,
        NO_IDENTITY,
        ({"Effect": "Allow", "NotPrincipal": {"AWS": USER}, "Action": "s3:*", "Resource": "*"},),
    ),
    # Pages: reference_policies_evaluation-logic, id_roles_compare-resource-policies
    Case("a role without a trust policy", user(allow("sts:*")), ASSUME, NO_TRUST),
    Case(
        "a trust policy for the account",
        user(allow("sts:*")),
        ASSUME,
        ALLOWED,
        ({"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"},),
    ),
    Case(
        "a trust policy for the account alone",
        user(),
        ASSUME,
        NO_IDENTITY,
        ({"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"},),
    ),
    Case(
        "a trust policy for the user",
        user(),
        ASSUME,
        ALLOWED,
        ({"Effect": "Allow", "Principal": {"AWS": USER}, "Action": "sts:AssumeRole"},),
    ),
    Case(
        "a deny in the trust policy",
        user(allow("sts:*")),
        ASSUME,
        DENIED_BY_TRUST,
        ({"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"},),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_is_decided_as_documented(case: Case) -> None:
    check(case)


def test_the_statement_that_a_topic_misses_names_the_service() -> None:
    publish = Need("sns:Publish", named()["topic_arn"])
    missing = decide(publish, EVENTS).missing()
    assert missing is not None
    assert missing["Principal"] == {"Service": "events.amazonaws.com"}
    assert decide(publish, EVENTS, [policy(missing)]).is_allowed


def test_the_statement_that_a_trust_policy_misses_names_the_role() -> None:
    sender = role(allow("sts:AssumeRole"))
    missing = decide(ASSUME, sender).missing()
    assert missing is not None
    assert missing["Principal"] == {"AWS": ROLE}
    assert decide(ASSUME, sender, [policy(missing)]).is_allowed


def test_the_bucket_policy_denies_requests_without_tls() -> None:
    bucket = Policy.parse(infra_policy("bucket"))
    need = Need("s3:GetObject", f"{named()['bucket_arn']}/key")
    for transport, is_allowed in (("true", True), ("false", False)):
        context = {"aws:SecureTransport": transport}
        assert decide(need, role(READ), [bucket], context).is_allowed is is_allowed
