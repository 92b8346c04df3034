"""The alerts of `infra/` in an emulated account, delivered to an SQS queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import Template
from typing import TYPE_CHECKING, Any

from tests.support.infra import INFRA

# moto would slow down the unit tests that import this module's siblings.
if TYPE_CHECKING:
    from flowyml_aws.testing import Emulator

__all__ = ["Inbox", "alerts", "create_alerts"]


def alerts(named: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of `infra/account/alerts.json`.

    Args:
        named: Values of its placeholders.
    """
    text = (INFRA / "account/alerts.json").read_text("utf-8")
    return json.loads(Template(text.replace("$.", "$$.")).substitute(named))


def create_alerts(aws: Emulator) -> str:
    """Create the topic and the rules of `infra/` in an emulator's own account.

    Returns:
        ARN of the topic.
    """
    from flowyml_aws.testing.account import DRIVER_QUEUE, NAMES, QUEUES
    from flowyml_aws.testing.account_policies import account_policy

    arn = "arn:aws:batch:us-east-1:123456789012:job-queue/{}".format
    named = {
        **NAMES,
        "all_queue_arns": json.dumps([arn(name) for name in (*QUEUES, DRIVER_QUEUE)]),
        "job_queue_arns": json.dumps([arn(name) for name in QUEUES]),
        "driver_queue_arn": arn(DRIVER_QUEUE),
    }
    events, sns = aws.client("events"), aws.client("sns")
    topic: str = sns.create_topic(Name=NAMES["topic_arn"].rpartition(":")[2])["TopicArn"]
    assert topic == NAMES["topic_arn"]
    sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=account_policy("topic", NAMES)
    )
    for name, rule in alerts(named).items():
        events.put_rule(Name=name, EventPattern=json.dumps(rule["pattern"]))
        transformer = {
            "InputPathsMap": rule["paths"],
            "InputTemplate": json.dumps(rule["message"]).replace('"<', "<").replace('>"', ">"),
        }
        target = {"Id": "alerts", "Arn": topic, "InputTransformer": transformer}
        events.put_targets(Rule=name, Targets=[target])
    return topic


class Inbox:
    """A queue that receives the alerts of an emulator's own account."""

    def __init__(self, aws: Emulator) -> None:
        topic = create_alerts(aws)
        self._sqs = aws.client("sqs")
        self._queue = self._sqs.create_queue(QueueName="inbox")["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(
            QueueUrl=self._queue, AttributeNames=["QueueArn"]
        )["Attributes"]
        aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=attributes["QueueArn"])

    def read(self) -> list[dict[str, str]]:
        """Return the alerts since the last call."""
        response = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
        messages = response.get("Messages", [])
        for message in messages:  # a message that is only read appears again
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(json.loads(message["Body"])["Message"]) for message in messages]
