"""Alerts about failed jobs, blocked queues and the budget."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_sns as sns
from constructs import Construct

from flowyml_account.names import Names
from flowyml_account.shared import alerts, policy

__all__ = ["make_alerts"]


def make_alerts(scope: Construct, names: Names, queues: Sequence[str]) -> str:
    """Create the topic and all resources that publish to it; return the topic's ARN.

    Args:
        scope: Parent of the resources.
        names: Names of the account.
        queues: Names of the queues for jobs.
    """
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
        for name, rule in alerts(_named(names, queues)).items()
    }
    for name, rule in rules.items():
        _alarm_if_undelivered(scope, names, name, rule, topic)
    if options.monthly_budget_usd is not None:
        budget = _make_budget(scope, names, topic, options.monthly_budget_usd)
        budget.node.add_dependency(allowed)  # AWS checks that the budget may publish
    return topic.ref


def _named(names: Names, queues: Sequence[str]) -> Mapping[str, str]:
    """Return the values of the placeholders in `alerts.json`."""
    of_jobs = sorted(names.arn("batch", f"job-queue/{name}") for name in queues)
    of_drivers = names.arn("batch", f"job-queue/{names.driver_queue}")
    return {
        **names.named,
        "all_queue_arns": json.dumps(sorted([*of_jobs, of_drivers])),
        "job_queue_arns": json.dumps(of_jobs),
        "driver_queue_arn": of_drivers,
    }


def _template(message: Mapping[str, str]) -> str:
    """Return the template of a message.

    Its variables are JSON values, so EventBridge adds their quotes and escapes them.
    """
    members = (
        f"{json.dumps(key)}:{text if text.startswith('<') else json.dumps(text)}"
        for key, text in sorted(message.items())
    )
    return f"{{{','.join(members)}}}"


def _make_rule(
    scope: Construct, names: Names, name: str, rule: Mapping[str, Any], topic: sns.CfnTopic
) -> events.CfnRule:
    return events.CfnRule(
        scope,
        name.title().replace("-", ""),
        name=f"{names.prefix}-{name}",
        description=rule["description"],
        event_pattern=rule["pattern"],
        state="ENABLED",
        targets=[
            events.CfnRule.TargetProperty(
                id="alerts",
                arn=topic.ref,
                input_transformer=events.CfnRule.InputTransformerProperty(
                    input_paths_map=rule["paths"], input_template=_template(rule["message"])
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
            budget_name=f"{names.iam_prefix}-monthly",
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
