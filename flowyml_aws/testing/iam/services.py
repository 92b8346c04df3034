"""Requests that AWS services send with their own principal, to resources whose policy allows it."""

from __future__ import annotations

from flowyml_aws.testing.iam.evaluation import Principal
from flowyml_aws.testing.iam.permissions import Need

__all__ = ["need_of_service", "service_principal"]

# EventBridge User Guide, "Using resource-based policies" (eb-use-resource-based): policies of SNS
# topics for EventBridge can't have conditions. A condition on the source's keys never holds.
_WITHOUT_SOURCE = {("events.amazonaws.com", "sns:Publish")}


def service_principal(name: str) -> Principal:
    """Return the principal of a service: `events.amazonaws.com`."""
    return Principal(name, "", "service")


def need_of_service(
    sender: Principal, action: str, resource: str, account: str, source_arn: str
) -> Need:
    """Return the permission that a service needs, with the condition keys that it supplies.

    Args:
        sender: Principal of the service.
        action: Action: `sns:Publish`.
        resource: ARN of the resource.
        account: Account on whose behalf the service acts.
        source_arn: ARN of the resource on whose behalf the service acts: of a rule, of a job.
    """
    if (sender.arn, action) in _WITHOUT_SOURCE:
        return Need(action, resource)
    return Need(action, resource, {"aws:SourceAccount": account, "aws:SourceArn": source_arn})
