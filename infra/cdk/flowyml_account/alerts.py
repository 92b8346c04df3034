"""Alerts about failed jobs, blocked queues and the budget."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_sns as sns
from constructs import Construct

from flowyml_account.names import Names
from flowyml_account.shared import policy

__all__ = ["make_alerts"]


@dataclass(frozen=True)
class _Rule:
    """An event, and the message that is sent about it."""

    description: str
    pattern: Mapping[str, Any]
    paths: Mapping[str, str]
    message: str


def make_alerts(scope: Construct, names: Names, queues: Sequence[str]) -> None:
    """Create the topic and all resources that publish to it."""
    options = names.options
    topic = sns.CfnTopic(
        scope, "Alerts", topic_name=f"{names.prefix}-alerts", tags=names.cfn_tags()
    )
    allowed = sns.CfnTopicPolicy(
        scope,
        "AlertsPolicy",
        topics=[topic.ref],
        policy_document=policy("topic", names.named),
    )
    if options.alert_email is not None:
        sns.CfnSubscription(
            scope, "Email", topic_arn=topic.ref, protocol="email", endpoint=options.alert_email
        )
    rules = {
        name: _make_rule(scope, names, name, rule, topic)
        for name, rule in _rules(names, queues).items()
    }
    # The rule reports a blocked queue immediately; the alarm is raised if the queue stays blocked,
    # until its jobs start again.
    cloudwatch.CfnAlarm(
        scope,
        "Stuck",
        alarm_name=f"{names.prefix}-queue-stuck",
        alarm_description="Batch reported a blocked queue more than once within an hour",
        namespace="AWS/Events",
        metric_name="MatchedEvents",
        dimensions=[
            cloudwatch.CfnAlarm.DimensionProperty(name="RuleName", value=rules["queue-blocked"].ref)
        ],
        statistic="Sum",
        period=900,
        evaluation_periods=4,
        datapoints_to_alarm=2,
        comparison_operator="GreaterThanOrEqualToThreshold",
        threshold=1,
        treat_missing_data="notBreaching",
        alarm_actions=[topic.ref],
        ok_actions=[topic.ref],
        tags=names.cfn_tags(),
    )
    for name, rule in rules.items():
        _alarm_if_undelivered(scope, names, name, rule, topic)
    if options.monthly_budget_usd is not None:
        budget = _make_budget(scope, names, topic, options.monthly_budget_usd)
        budget.node.add_dependency(allowed)


def _rules(names: Names, queues: Sequence[str]) -> Mapping[str, _Rule]:
    arns = [names.arn("batch", f"job-queue/{name}") for name in queues]
    return {
        "job-failed": _Rule(
            "A Batch job failed in its last attempt",
            {
                "source": ["aws.batch"],
                "detail-type": ["Batch Job State Change"],
                "detail": {"jobQueue": arns, "status": ["FAILED"]},
            },
            {"job": "$.detail.jobName", "reason": "$.detail.statusReason"},
            "Job <job> failed: <reason>",
        ),
        "training-failed": _Rule(
            "A training job failed",
            {
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Training Job State Change"],
                "detail": {
                    "RoleArn": [names.role_arn("sagemaker")],
                    "TrainingJobStatus": ["Failed"],
                },
            },
            {"job": "$.detail.TrainingJobName", "reason": "$.detail.FailureReason"},
            "Training job <job> failed: <reason>",
        ),
        "queue-blocked": _Rule(
            "The first job of a queue can't start",
            {
                "source": ["aws.batch"],
                "detail-type": ["Batch Job Queue Blocked"],
                "detail": {"jobQueue": arns},
            },
            {
                "queue": "$.detail.jobQueue",
                "job": "$.detail.jobName",
                "reason": "$.detail.statusReason",
            },
            "Queue <queue> is blocked by job <job>: <reason>",
        ),
    }


def _make_rule(
    scope: Construct, names: Names, name: str, rule: _Rule, topic: sns.CfnTopic
) -> events.CfnRule:
    return events.CfnRule(
        scope,
        name.title().replace("-", ""),
        name=f"{names.prefix}-{name}",
        description=rule.description,
        event_pattern=rule.pattern,
        state="ENABLED",
        targets=[
            events.CfnRule.TargetProperty(
                id="alerts",
                arn=topic.ref,
                input_transformer=events.CfnRule.InputTransformerProperty(
                    input_paths_map=rule.paths, input_template=json.dumps(rule.message)
                ),
            )
        ],
        tags=names.cfn_tags(),
    )


def _alarm_if_undelivered(
    scope: Construct, names: Names, name: str, rule: events.CfnRule, topic: sns.CfnTopic
) -> None:
    """Create an alarm for the only metric that counts messages that EventBridge can't deliver."""
    cloudwatch.CfnAlarm(
        scope,
        f"{name.title().replace('-', '')}Undelivered",
        alarm_name=f"{names.prefix}-{name}-undelivered",
        alarm_description="EventBridge could not deliver an alert: look at the policy of the topic",
        namespace="AWS/Events",
        metric_name="FailedInvocations",
        dimensions=[cloudwatch.CfnAlarm.DimensionProperty(name="RuleName", value=rule.ref)],
        statistic="Sum",
        period=300,
        evaluation_periods=1,
        datapoints_to_alarm=1,
        comparison_operator="GreaterThanOrEqualToThreshold",
        threshold=1,
        treat_missing_data="notBreaching",
        alarm_actions=[topic.ref],
        tags=names.cfn_tags(),
    )


def _make_budget(
    scope: Construct, names: Names, topic: sns.CfnTopic, limit_usd: float
) -> budgets.CfnBudget:
    budget = budgets.CfnBudget
    return budgets.CfnBudget(
        scope,
        "Budget",
        budget=budget.BudgetDataProperty(
            budget_name=f"{names.prefix}-monthly",
            budget_type="COST",
            budget_limit=budget.SpendProperty(amount=limit_usd, unit="USD"),
            time_unit="MONTHLY",
        ),
        notifications_with_subscribers=[
            budget.NotificationWithSubscribersProperty(
                notification=budget.NotificationProperty(
                    comparison_operator="GREATER_THAN",
                    notification_type=kind,
                    threshold=percent,
                    threshold_type="PERCENTAGE",
                ),
                subscribers=[budget.SubscriberProperty(subscription_type="SNS", address=topic.ref)],
            )
            for kind, percent in (("ACTUAL", 80), ("FORECASTED", 100))
        ],
        resource_tags=[
            budget.ResourceTagProperty(key=key, value=value) for key, value in names.tags.items()
        ],
    )
