"""Properties of decisions that hold for all policies."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.testing.iam.evaluation import decide
from flowyml_aws.testing.iam.needs import Need
from tests.testing.iam.statements import ROLE, ROOT, SESSION, Statement, policy, role

ACTIONS = st.sampled_from(["s3:GetObject", "s3:PutObject", "sqs:SendMessage"])
RESOURCES = st.sampled_from(["arn:aws:s3:::b/a", "arn:aws:s3:::b/b", "arn:aws:s3:::c/a"])
CONTEXTS = st.fixed_dictionaries({}, optional={"k": st.sampled_from(["a", "b"])})
NEEDS = st.builds(Need, ACTIONS, RESOURCES, CONTEXTS)

CONDITIONS = st.sampled_from(
    [
        *({}, {"StringEquals": {"k": "a"}}, {"StringNotEquals": {"k": "a"}}),
        *({"StringLikeIfExists": {"k": "b"}}, {"Null": {"k": "true"}}),
        {"ForAllValues:StringEquals": {"k": ["a"]}},
    ]
)
STATEMENTS = st.builds(
    lambda effect, action, actions, resource, resources, condition: {
        **{"Effect": effect, action: actions, resource: resources, "Condition": condition}
    },
    st.sampled_from(["Allow", "Deny"]),
    st.sampled_from(["Action", "NotAction"]),
    st.sampled_from(["*", "s3:*", "s3:Get*", "sqs:SendMessage", ["s3:PutObject", "s3:GetObject"]]),
    st.sampled_from(["Resource", "NotResource"]),
    st.sampled_from(["*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a", "arn:aws:s3:::?/a"]),
    CONDITIONS,
)
RESOURCE_STATEMENTS = st.builds(
    lambda statement, principal: {**statement, "Principal": principal},
    STATEMENTS,
    st.sampled_from(["*", {"AWS": ROLE}, {"AWS": SESSION}, {"AWS": ROOT}, {"Service": "s3"}]),
)
LISTS = st.lists(STATEMENTS, min_size=1, max_size=4)
RESOURCE_LISTS = st.lists(RESOURCE_STATEMENTS, max_size=2)
LIMITS = st.none() | LISTS


def is_allowed(
    need: Need,
    identity: list[Statement],
    boundary: list[Statement] | None,
    session: list[Statement] | None,
    resource: list[Statement],
) -> bool:
    sender = role(
        *identity,
        boundary=None if boundary is None else policy(*boundary),
        session=() if session is None else (policy(*session),),
    )
    return decide(need, sender, [policy(*resource)] if resource else []).is_allowed


@given(NEEDS, LISTS, LIMITS, LIMITS, RESOURCE_LISTS, STATEMENTS)
def test_another_deny_never_allows_more(
    need: Need,
    identity: list[Statement],
    boundary: list[Statement] | None,
    session: list[Statement] | None,
    resource: list[Statement],
    statement: Statement,
) -> None:
    denial = {**statement, "Effect": "Deny"}
    before = is_allowed(need, identity, boundary, session, resource)
    assert is_allowed(need, [*identity, denial], boundary, session, resource) <= before
    for_all = {**denial, "Principal": "*"}
    assert is_allowed(need, identity, boundary, session, [*resource, for_all]) <= before


@given(NEEDS, LISTS, LIMITS, LIMITS, RESOURCE_LISTS, STATEMENTS)
def test_another_allow_never_allows_less(
    need: Need,
    identity: list[Statement],
    boundary: list[Statement] | None,
    session: list[Statement] | None,
    resource: list[Statement],
    statement: Statement,
) -> None:
    permission = {**statement, "Effect": "Allow"}
    before = is_allowed(need, identity, boundary, session, resource)
    assert is_allowed(need, [*identity, permission], boundary, session, resource) >= before
    for_all = {**permission, "Principal": "*"}
    assert is_allowed(need, identity, boundary, session, [*resource, for_all]) >= before


@given(NEEDS, LISTS, LISTS)
def test_limits_never_allow_more(
    need: Need, identity: list[Statement], limit: list[Statement]
) -> None:
    before = is_allowed(need, identity, None, None, [])
    assert is_allowed(need, identity, limit, None, []) <= before
    assert is_allowed(need, identity, None, limit, []) <= before
    assert is_allowed(need, identity, limit, None, []) == is_allowed(
        need, limit, identity, None, []
    )


@given(NEEDS, LISTS, RESOURCE_LISTS, st.randoms(use_true_random=False))
def test_the_order_of_statements_is_irrelevant(
    need: Need, identity: list[Statement], resource: list[Statement], shuffled: random.Random
) -> None:
    before = is_allowed(need, identity, None, None, resource)
    others = shuffled.sample(identity, len(identity)), shuffled.sample(resource, len(resource))
    assert is_allowed(need, others[0], None, None, others[1]) == before


@given(NEEDS, LISTS, LIMITS, RESOURCE_LISTS)
def test_the_missing_statement_allows_the_request_if_nothing_else_limits_it(
    need: Need,
    identity: list[Statement],
    session: list[Statement] | None,
    resource: list[Statement],
) -> None:
    sender = role(*identity, session=() if session is None else (policy(*session),))
    policies = [policy(*resource)] if resource else []
    decision = decide(need, sender, policies)
    missing = decision.missing()
    assert (missing is None) == (decision.is_allowed or decision.statement is not None)
    if missing is not None:
        completed = role(*identity, missing, session=(policy(missing),))
        assert decide(need, completed, policies).is_allowed
