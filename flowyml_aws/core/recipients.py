"""Recipients of notices: topics of SNS, event buses, and webhooks.

The URL of a webhook is a secret: whoever knows it can post to it. So it is never part of a setting,
a plan or a record, only the reference to the variable or the secret that contains it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.secret_references import parse_reference
from flowyml_aws.core.written import shortened

__all__ = ["Recipient", "parse_recipient", "recipient_problems"]

# Amazon SNS API reference, CreateTopic. Topics with `.fifo` are not supported.
_TOPIC = re.compile(r"arn:[\w-]+:sns:[\w-]+:\d{12}:[\w-]{1,256}", re.ASCII)
# Amazon EventBridge API reference, PutEventsRequestEntry.
_BUS = re.compile(r"(arn:[\w-]+:events:[\w-]+:\d{12}:event-bus/)?(?!arn:)[\w./-]{1,256}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORMS = (
    "sns:TOPIC_ARN, events:BUS (a name or an ARN), webhook:SECRET (the ARN of a secret in AWS "
    "Secrets Manager, or the ARN or name of an SSM parameter) or webhook:env:VARIABLE"
)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somewhere a notice is sent.

    Attributes:
        kind: Topic of SNS, event bus of EventBridge, or webhook.
        address: ARN of the topic; name or ARN of the bus; reference to the URL of the webhook.
    """

    kind: Literal["sns", "events", "webhook"]
    address: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.address}"

    @property
    def variable(self) -> str | None:
        """Environment variable that contains the URL of a webhook, or None."""
        is_variable = self.kind == "webhook" and self.address.startswith("env:")
        return self.address.removeprefix("env:") if is_variable else None

    @property
    def region(self) -> str | None:
        """Region in the ARN of a topic or a bus; None if it has none."""
        is_arn = self.kind != "webhook" and self.address.startswith("arn:")
        return self.address.split(":")[3] if is_arn else None


def parse_recipient(text: str) -> Recipient | None:
    """Return the recipient that a string names, or None if it does not name one."""
    kind, _, address = text.partition(":")
    if kind == "sns" and _TOPIC.fullmatch(address):
        return Recipient("sns", address)
    if kind == "events" and _BUS.fullmatch(address):
        return Recipient("events", address)
    if kind == "webhook":
        variable = address.removeprefix("env:")
        is_variable = variable != address and _VARIABLE.fullmatch(variable) is not None
        if is_variable or parse_reference(address) is not None:
            return Recipient("webhook", address)
    return None


def recipient_problems(recipients: object, where: str) -> list[FlowymlError]:
    """Return an error for each recipient that does not exist in this form. None contains a URL.

    Args:
        recipients: Value that the user passed; None for none.
        where: Place of the value, for the errors: `the setting notify`.
    """
    if recipients is None:
        return []
    if isinstance(recipients, str) or not isinstance(recipients, Collection):
        return [
            SettingsError(
                what=f"Invalid recipients in {where}: expected a list of strings",
                why=f"a recipient of notices is {_FORMS}",
                fix='write for example notify=["sns:arn:aws:sns:us-east-1:123456789012:runs"]',
            )
        ]
    return list(_problems(recipients, where))


def _problems(recipients: Collection[object], where: str) -> Iterator[FlowymlError]:
    for recipient in recipients:
        if isinstance(recipient, str) and parse_recipient(recipient) is not None:
            continue
        text = str(recipient)
        if "://" in text:
            yield SettingsError(
                what=f"A URL is a recipient in {where}",
                why="whoever knows the URL of a webhook can post to it, and plans and records of "
                "runs would show it",
                fix="store the URL as a secret or in a variable, and write webhook:SECRET or "
                "webhook:env:VARIABLE",
            )
        else:
            yield SettingsError(
                what=f"Invalid recipient {shortened(recipient)} in {where}",
                why=f"a recipient of notices is {_FORMS}",
                fix="correct it; topics with .fifo are not supported",
            )
