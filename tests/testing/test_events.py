"""EventBridge in the emulator: rules, SNS topics with their policies, and SQS queues."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from flowyml_aws.testing import Emulator
from tests.support.infra import named, policy
from tests.testing.conftest import BatchClient, TrainingClient

pytestmark = pytest.mark.contract

ALLOWED = {"Principal": {"Service": "events.amazonaws.com"}, "Action": "sns:Publish"}
ONLY_THIS_ACCOUNT = {"StringEquals": {"aws:SourceAccount": "123456789012"}}
FAILED_JOBS = {"source": ["aws.batch"], "detail": {"status": ["FAILED"]}}


class Alerts:
    """A topic with a queue that receives its messages, and a rule that publishes to it."""

    def __init__(self, aws: Emulator) -> None:
        self.events, self.sns, self.sqs = map(aws.client, ("events", "sns", "sqs"))
        self.topic = str(self.sns.create_topic(Name="alerts")["TopicArn"])
        self.queue = str(self.sqs.create_queue(QueueName="inbox")["QueueUrl"])
        attributes = self.sqs.get_queue_attributes(
            QueueUrl=self.queue, AttributeNames=["QueueArn"]
        )["Attributes"]
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=attributes["QueueArn"])

    def allow(self, *statements: Mapping[str, Any]) -> None:
        full = [{"Effect": "Allow", "Resource": self.topic, **each} for each in statements]
        self.set_policy({"Version": "2012-10-17", "Statement": full})

    def set_policy(self, document: Mapping[str, Any]) -> None:
        self.sns.set_topic_attributes(
            TopicArn=self.topic, AttributeName="Policy", AttributeValue=json.dumps(document)
        )

    def route(self, pattern: Mapping[str, Any], **target: Any) -> None:
        self.events.put_rule(Name="rule", EventPattern=json.dumps(pattern))
        self.events.put_targets(
            Rule="rule", Targets=[{"Id": "alerts", "Arn": self.topic, **target}]
        )

    @property
    def received(self) -> list[str]:
        """The messages of the topic so far. Reading them again returns none."""
        messages = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [json.loads(m["Body"])["Message"] for m in messages.get("Messages", ())]


@pytest.fixture
def alerts(aws: Emulator) -> Alerts:
    return Alerts(aws)


def test_a_failed_job_reaches_the_queue_as_the_event_of_batch(
    alerts: Alerts, batch: BatchClient
) -> None:
    alerts.allow(ALLOWED)
    alerts.route(FAILED_JOBS)
    batch.ended(batch.submit("pass"))
    failed = batch.ended(batch.submit("raise SystemExit(3)"))
    (event,) = map(json.loads, alerts.received)
    assert event["detail-type"] == "Batch Job State Change"
    assert event["resources"] == [failed["jobArn"]]
    assert event["detail"]["container"]["exitCode"] == 3


def test_a_failed_training_job_reaches_the_queue_as_the_event_of_sagemaker(
    alerts: Alerts, training: TrainingClient
) -> None:
    alerts.allow(ALLOWED)
    pattern = {"source": ["aws.sagemaker"], "detail": {"TrainingJobStatus": ["Failed"]}}
    alerts.route(pattern)
    training.ended(training.create("pass"))
    name = training.create("raise SystemExit(3)")
    reason = training.ended(name)["FailureReason"]
    (event,) = map(json.loads, alerts.received)
    assert event["detail-type"] == "SageMaker Training Job State Change"
    assert event["detail"]["TrainingJobName"] == name
    assert event["detail"]["FailureReason"] == reason


def test_a_target_s_template_makes_the_message(alerts: Alerts, batch: BatchClient) -> None:
    alerts.allow(ALLOWED)
    paths = {"job": "$.detail.jobName", "reason": "$.detail.statusReason"}
    template = '"Job <job> failed: <reason>"'
    transformer = {"InputPathsMap": paths, "InputTemplate": template}
    alerts.route(FAILED_JOBS, InputTransformer=transformer)
    batch.ended(batch.submit("raise SystemExit(3)", jobName="train"))
    assert alerts.received == ['"Job train failed: Essential container in task exited"']


@pytest.mark.parametrize(
    "statements",
    [
        [{**ALLOWED, "Condition": ONLY_THIS_ACCOUNT}],
        [{**ALLOWED, "Principal": {"Service": "cloudwatch.amazonaws.com"}}],
        [{**ALLOWED, "Resource": "arn:aws:sns:us-east-1:123456789012:other"}],
        [{**ALLOWED, "Action": "sns:GetTopicAttributes"}],
        [ALLOWED, {**ALLOWED, "Effect": "Deny", "Principal": "*"}],
    ],
    ids=["condition", "another service", "another topic", "another action", "denied"],
)
def test_a_topic_receives_nothing_unless_its_policy_allows_it_without_conditions(
    aws: Emulator, alerts: Alerts, batch: BatchClient, statements: list[dict[str, Any]]
) -> None:
    alerts.allow(*statements)
    alerts.route(FAILED_JOBS)
    batch.ended(batch.submit("raise SystemExit(3)"))
    assert alerts.received == []
    (failed,) = aws.failed_invocations
    assert (failed.rule, failed.target) == ("rule", alerts.topic)
    assert "events.amazonaws.com may not publish" in failed.reason


def test_the_policy_of_infra_allows_rules_to_publish(alerts: Alerts, batch: BatchClient) -> None:
    text = json.dumps(policy("topic"))
    alerts.set_policy(json.loads(text.replace(named()["topic_arn"], alerts.topic)))
    alerts.route(FAILED_JOBS)
    batch.ended(batch.submit("raise SystemExit(3)"))
    assert len(alerts.received) == 1


def test_a_disabled_rule_delivers_nothing(
    aws: Emulator, alerts: Alerts, batch: BatchClient
) -> None:
    alerts.allow(ALLOWED)
    alerts.route(FAILED_JOBS)
    alerts.events.disable_rule(Name="rule")
    batch.ended(batch.submit("raise SystemExit(3)"))
    assert alerts.received == []
    assert aws.failed_invocations == []
