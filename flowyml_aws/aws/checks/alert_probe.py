"""A temporary SQS queue on an SNS topic, which shows whether alerts are delivered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused

__all__ = ["AlertProbe", "alert_probe", "alert_statement"]

_ACTIONS = (
    *("sqs:CreateQueue", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes", "sqs:ReceiveMessage"),
    *("sqs:DeleteQueue", "sns:Subscribe", "sns:Unsubscribe"),
)

_POLL_S = 20  # the longest wait of ReceiveMessage


def alert_statement(topic_arn: str, name: str) -> str:
    """Return the policy statement that a probe needs, as JSON.

    The policies of infra/ do not grant it to users.

    Args:
        topic_arn: ARN of the topic; an account `*` is possible.
        name: Name of the queue, or a pattern.
    """
    partition = topic_arn.split(":")[1]
    topic = topic_arn.rpartition(":")[2]
    queues, topics = (f"arn:{partition}:{each}" for each in (f"sqs:*:*:{name}", f"sns:*:*:{topic}"))
    statement = {
        "Effect": "Allow",
        "Action": list(_ACTIONS),
        "Resource": [queues, topics, f"{topics}:*"],
    }
    return json.dumps(statement)


class AlertProbe:
    """The messages of a topic since the probe was made."""

    def __init__(self, sqs: Any, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def has_message(
        self, content: str, deadline_s: float, clock: Callable[[], float] = time.monotonic
    ) -> bool:
        """Wait for a message that contains a string. Return False after the deadline.

        Raises:
            AwsRefusedError: AWS denied the call.
        """
        end = clock() + deadline_s
        while (left_s := end - clock()) > 0:
            wait_s = min(_POLL_S, max(1, int(left_s)))
            try:
                answer = self._sqs.receive_message(
                    QueueUrl=self._queue_url, WaitTimeSeconds=wait_s, MaxNumberOfMessages=10
                )
            except (ClientError, BotoCoreError) as error:
                raise refused(error, "read the messages of the topic for alerts") from error
            if any(content in message["Body"] for message in answer.get("Messages", ())):
                return True
        return False


@contextmanager
def alert_probe(sqs: Any, sns: Any, topic_arn: str, name: str) -> Iterator[AlertProbe]:
    """Subscribe a new SQS queue to a topic; unsubscribe and delete it at the end.

    Args:
        sqs: SQS client.
        sns: SNS client.
        topic_arn: ARN of the topic.
        name: Name of the queue.

    Raises:
        AwsRefusedError: AWS denied a call. Nothing is left.
    """
    undo: list[Callable[[], Any]] = []
    try:
        try:
            url = sqs.create_queue(QueueName=name)["QueueUrl"]
            undo.append(lambda: sqs.delete_queue(QueueUrl=url))
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
            arn = attributes["Attributes"]["QueueArn"]
            policy = _queue_policy(arn, topic_arn)
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
            subscription = sns.subscribe(
                TopicArn=topic_arn, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True
            )["SubscriptionArn"]
            undo.append(lambda: sns.unsubscribe(SubscriptionArn=subscription))
        except (ClientError, BotoCoreError) as error:
            raise refused(error, "subscribe a temporary queue to the topic for alerts") from error
        yield AlertProbe(sqs, url)
    finally:
        for step in reversed(undo):
            with suppress(ClientError, BotoCoreError):  # the others are still undone
                step()


def _queue_policy(queue_arn: str, topic_arn: str) -> dict[str, Any]:
    """Return the policy that lets a topic send to a queue.

    Source: https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html
    """
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
