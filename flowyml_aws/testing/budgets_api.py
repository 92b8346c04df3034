"""The operations of AWS Budgets that Terraform calls and moto (5.2) lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.budgets.models import budgets_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.testing.api import Handler, Rewrite
from flowyml_aws.testing.refusal import Refusal

__all__ = ["BudgetsApi", "NotFoundException"]


class NotFoundException(Refusal):
    """The service's error for a budget or a notification that does not exist."""


class BudgetsApi:
    """Tags of budgets, and subscribers of their notifications. No notification is ever sent.

    Attributes:
        handlers: Handlers by operation.
        rewrites: Functions by operation that adapt a request for moto.
    """

    def __init__(self) -> None:
        self._tags: dict[str, list[Any]] = {}
        self.handlers: Mapping[str, Handler] = {
            "DescribeSubscribersForNotification": _describe_subscribers,
            "ListTagsForResource": self._list_tags,
        }
        self.rewrites: Mapping[str, Rewrite] = {"CreateBudget": self._create}

    def _create(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        name = str((request.get("Budget") or {}).get("BudgetName"))
        self._tags[name] = list(request.get("ResourceTags") or ())
        return dict(request)

    def _list_tags(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        name = str(request.get("ResourceARN")).rpartition("/")[2]
        return {"ResourceTags": self._tags.get(name, [])}


def _describe_subscribers(request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
    budgets = budgets_backends[DEFAULT_ACCOUNT_ID]["aws"].budgets[DEFAULT_ACCOUNT_ID]
    budget = budgets.get(str(request.get("BudgetName")))
    for notification in budget.notifications if budget is not None else ():
        if _condition(notification.details) == _condition(request.get("Notification") or {}):
            return {"Subscribers": notification.subscribers}
    raise NotFoundException("Unable to find the notification of the budget.")


def _condition(notification: Mapping[str, Any]) -> dict[str, Any]:
    """Return a notification without the members that have defaults."""
    names = ("NotificationType", "ComparisonOperator", "Threshold")
    return {name: notification.get(name) for name in names}
