"""EventBridge: the ends of jobs as events, which rules deliver to SNS topics.

moto stores the rules and the topics, compares events with the patterns of rules, and delivers the
topics' messages to SQS queues, where tests can read them. It does not deliver events to topics, and
evaluates no policy. Not emulated: events of other states, other event buses, other targets, and
email.

Sources: "Amazon SNS permissions" in "Using resource-based policies for Amazon EventBridge"
(eb-use-resource-based) and the events of AWS Batch (batch_cwe_events) and SageMaker
(automating-sagemaker-with-eventbridge).
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.testing.batch.jobs import Job
from flowyml_aws.testing.iam.evaluation import Decision, Principal, decide
from flowyml_aws.testing.iam.permissions import Need
from flowyml_aws.testing.iam.policies import Policy
from flowyml_aws.testing.sagemaker.training_job import TrainingJob

__all__ = ["Events", "FailedInvocation"]

_VARIABLE = re.compile(r"<([\w.-]+)>")
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")')
_SERVICE = Principal("events.amazonaws.com", "", "service")
_TRAINING_MEMBERS = (
    *("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "SecondaryStatus"),
    *("FailureReason", "RoleArn", "AlgorithmSpecification", "ResourceConfig", "StoppingCondition"),
)


@dataclass(frozen=True, slots=True)
class FailedInvocation:
    """An event that a rule matched but could not deliver.

    AWS only counts it, in the metric `FailedInvocations` of the namespace `AWS/Events`.
    """

    rule: str
    target: str
    reason: str


class Events:
    """The default event bus. Callers of its methods hold the lock.

    Args:
        delivers: Whether rules deliver events.

    Attributes:
        failed_invocations: Deliveries that failed so far.
    """

    def __init__(self, delivers: bool = True) -> None:
        self.failed_invocations: list[FailedInvocation] = []
        self._delivers = delivers

    def job_ended(self, job: Job) -> None:
        """Send the event of a Batch job that has ended."""
        self._send("aws.batch", "Batch Job State Change", job.arn, job.detail())

    def training_ended(self, job: TrainingJob) -> None:
        """Send the event of a training job that has ended."""
        known = {**job.request, **job.summary(), "FailureReason": job.failure_reason}
        detail = {name: known[name] for name in _TRAINING_MEMBERS if known.get(name) is not None}
        self._send("aws.sagemaker", "SageMaker Training Job State Change", job.arn, detail)

    def _send(self, source: str, kind: str, arn: str, detail: Mapping[str, Any]) -> None:
        # moto loads a service with its first request: without that, the account has no rules. Its
        # import takes a tenth of a second, too long for each emulator.
        if "moto.events.models" not in sys.modules or not self._delivers:
            return
        from moto.events.models import events_backends

        region = arn.split(":")[3]
        event: Any = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": kind,
            "source": source,
            "account": DEFAULT_ACCOUNT_ID,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "region": region,
            "resources": [arn],
            "detail": detail,
        }
        bus = events_backends[DEFAULT_ACCOUNT_ID][region].event_buses["default"]
        for rule in bus.rules.values():
            if rule.state == "ENABLED" and rule.event_pattern.matches_event(event):
                for target in rule.targets:
                    self._deliver(rule.name, target, event)

    def _deliver(self, rule: str, target: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        from moto.sns.models import sns_backends

        arn = target["Arn"]
        topic = sns_backends[DEFAULT_ACCOUNT_ID][event["region"]].topics.get(arn)
        if topic is None:
            reason = f"no SNS topic {arn}: flowyml_aws.testing emulates no other targets"
        elif not (decision := _decide(topic.policy, arn)).is_allowed:
            reason = (
                f"{_SERVICE.arn} may not publish to {arn}, {decision.reason}: the topic's policy "
                "needs a statement without conditions, because EventBridge supplies no keys"
            )
        else:
            try:
                topic.publish(_message(target.get("InputTransformer"), event))
                return
            except (ServiceException, ValueError) as error:  # for example, the queue was deleted
                reason = str(error)
        self.failed_invocations.append(FailedInvocation(rule, arn, reason))


def _decide(policy: str, topic_arn: str) -> Decision:
    """Decide whether EventBridge may publish. It supplies no keys, such as `aws:SourceAccount`."""
    return decide(Need("sns:Publish", topic_arn), _SERVICE, [Policy.parse(policy, "topic policy")])


def _message(transformer: Mapping[str, Any] | None, event: Mapping[str, Any]) -> str:
    """Return the text that a target receives: the event, or what its transformer makes of it.

    In a template that is a JSON object, a variable outside of a string becomes a JSON value.

    Source: "Amazon EventBridge input transformation" (eb-transform-target-input).

    Raises:
        ValueError: The template, with its variables replaced, is not valid JSON.
    """
    if transformer is None:
        return json.dumps(event)
    paths: Mapping[str, str] = transformer.get("InputPathsMap") or {}
    template: str = transformer["InputTemplate"]

    def value_of(match: re.Match[str]) -> Any:
        return _member(event, paths[match[1]]) if match[1] in paths else match[0]

    def text_of(match: re.Match[str]) -> str:
        value = value_of(match)
        return value if isinstance(value, str) else json.dumps(value)

    if not template.lstrip().startswith("{"):
        return _VARIABLE.sub(text_of, template)
    pieces = _STRING.split(template)  # strings are at the odd positions
    for index, piece in enumerate(pieces):
        replace = text_of if index % 2 else lambda match: json.dumps(value_of(match))
        pieces[index] = _VARIABLE.sub(replace, piece)
    return json.dumps(json.loads("".join(pieces)), separators=(",", ":"))


def _member(event: Mapping[str, Any], path: str) -> Any:
    """Return the member of an event at a path such as `$.detail.jobName`; "" if it is missing."""
    value: Any = event
    for name in path.split(".")[1:]:
        value = value.get(name, "") if isinstance(value, Mapping) else ""
    return value
