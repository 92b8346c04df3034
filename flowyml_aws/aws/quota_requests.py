"""Requests for higher quotas, as commands that can be copied."""

from __future__ import annotations

__all__ = ["QUOTA_PAGES", "quota_page", "quota_request"]

QUOTA_PAGES = "https://console.aws.amazon.com/servicequotas/home/services"


def quota_request(service: str, code: str, value: int, region: str) -> str:
    """Return the command that requests a quota, and its page in the console.

    The command needs servicequotas:RequestServiceQuotaIncrease, which the policies of infra/ do not
    grant to users.

    Args:
        service: Service code of Service Quotas: `ec2` or `sagemaker`.
        code: Quota code.
        value: Requested value.
        region: AWS region, or an empty string for the default of the AWS CLI.
    """
    command = (
        f"aws service-quotas request-service-quota-increase --service-code {service} "
        f"--quota-code {code} --desired-value {value}"
    )
    return (
        f"{command}{f' --region {region}' if region else ''} ({quota_page(service, code, region)})"
    )


def quota_page(service: str, code: str = "", region: str = "") -> str:
    """Return the address of a quota in the console, or of the list of a service's quotas."""
    path = f"/{code}" if code else ""
    query = f"?region={region}" if region else ""
    return f"{QUOTA_PAGES}/{service}/quotas{path}{query}"
