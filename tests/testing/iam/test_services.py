from __future__ import annotations

import pytest

from flowyml_aws.testing.iam.evaluation import Decision, decide
from flowyml_aws.testing.iam.policies import Policy
from flowyml_aws.testing.iam.services import need_of_service, service_principal
from tests.support.infra import policy as infra_policy
from tests.testing.iam.statements import ROLE, Statement, allow, policy

ACCOUNT = "123456789012"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:alerts"
RULE = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/failed"
JOB = f"arn:aws:batch:us-east-1:{ACCOUNT}:job/j"
ASKED = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def published(service: str, statement: Statement) -> Decision:
    sender = service_principal(service)
    need = need_of_service(sender, "sns:Publish", TOPIC, ACCOUNT, RULE)
    return decide(need, sender, [policy(statement)])


def publishers(**others: object) -> Statement:
    services = {"Service": ["budgets.amazonaws.com", "events.amazonaws.com"]}
    return allow("sns:Publish", TOPIC, Principal=services, **others)


def test_eventbridge_does_not_send_the_account_that_a_topic_may_ask_for() -> None:
    denied = published("events.amazonaws.com", publishers(Condition=ASKED))
    assert denied.reason == "because no resource-based policy allows the sns:Publish action"
    assert published("events.amazonaws.com", publishers()).is_allowed


def test_other_services_send_the_account_that_a_topic_may_ask_for() -> None:
    assert published("budgets.amazonaws.com", publishers(Condition=ASKED)).is_allowed


def assumed(service: str, trust: Policy, account: str = ACCOUNT) -> Decision:
    sender = service_principal(service)
    need = need_of_service(sender, "sts:AssumeRole", ROLE, account, JOB)
    return decide(need, sender, [trust])


@pytest.mark.parametrize(
    ("name", "service"),
    [("trust-tasks", "ecs-tasks.amazonaws.com"), ("trust-sagemaker", "sagemaker.amazonaws.com")],
)
def test_a_service_assumes_the_roles_of_infra_only_for_its_account(name: str, service: str) -> None:
    trust = Policy.parse(infra_policy(name), name)
    assert assumed(service, trust).is_allowed
    assert not assumed(service, trust, account="999999999999").is_allowed


def test_a_role_that_does_not_trust_a_service_misses_a_statement() -> None:
    trust = Policy.parse(infra_policy("trust-tasks"))
    decision = assumed("sagemaker.amazonaws.com", trust)
    assert decision.reason == "because no role trust policy allows the sts:AssumeRole action"
    missing = decision.missing()
    assert missing is not None
    assert missing["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert assumed("sagemaker.amazonaws.com", policy(missing)).is_allowed
