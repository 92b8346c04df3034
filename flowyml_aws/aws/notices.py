"""Notices to topics of SNS and to event buses of EventBridge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import NoticeError

__all__ = ["EVENT_SOURCE", "publish", "put_event"]

EVENT_SOURCE = "flowyml-aws"
"""Source of the events, for the patterns of rules."""

_MAX_SUBJECT = 100  # characters in ASCII (Amazon SNS API reference, Publish)


def publish(
    sns: Any, topic: str, subject: str, message: str, attributes: Mapping[str, str]
) -> None:
    """Publish a message.

    Args:
        sns: Client of SNS in the region of the topic.
        topic: ARN of the topic.
        subject: Subject of emails; what SNS does not accept in it is replaced.
        message: The message.
        attributes: Attributes, for filter policies of subscriptions.

    Raises:
        AwsRefusedError: AWS denied the call, or did not answer.
    """
    ascii_only = subject.encode("ascii", "replace").decode()
    printable = "".join(c if c.isprintable() else " " for c in ascii_only).strip()
    try:
        sns.publish(
            TopicArn=topic,
            Subject=printable[:_MAX_SUBJECT],
            Message=message,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        )
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"publish to {topic}") from error


def put_event(events: Any, bus: str, kind: str, detail: str) -> None:
    """Put an event on a bus.

    Args:
        events: Client of EventBridge in the region of the bus.
        bus: Name or ARN of the bus.
        kind: Detail type, for the patterns of rules.
        detail: JSON object.

    Raises:
        AwsRefusedError: AWS denied the call, or did not answer.
        NoticeError: EventBridge did not accept the event.
    """
    entry = {"Source": EVENT_SOURCE, "DetailType": kind, "Detail": detail, "EventBusName": bus}
    try:
        response = events.put_events(Entries=[entry])
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"put an event on the bus {bus}") from error
    if response["FailedEntryCount"]:
        result = response["Entries"][0]
        raise NoticeError(
            what=f"The event bus {bus} has not accepted the notice",
            why=f"{result.get('ErrorCode', 'error')}: {result.get('ErrorMessage', 'no reason')}",
            fix="check that the bus exists in this region",
        )
