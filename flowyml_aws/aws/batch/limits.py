"""Validation of SubmitJob requests before the call.

boto3 does not check these limits. Sources: the API reference of AWS Batch (SubmitJob), and the
service quotas in its user guide.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flowyml_aws.aws.batch.definition import DEFINITION_TAGS
from flowyml_aws.aws.tags import tag_faults
from flowyml_aws.core.errors import FlowymlError, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_batch.type_defs import SubmitJobRequestTypeDef

__all__ = ["submit_request_errors"]

_MAX_OVERRIDES_CHARS = 8192
_MAX_REQUEST_BYTES = 30 * 1024

Fault = tuple[str, str]
"""Reason for the refusal, and fix."""


def submit_request_errors(request: SubmitJobRequestTypeDef, job: str) -> list[FlowymlError]:
    """Return the reasons for which AWS would refuse a job; empty if there are none.

    Args:
        request: Arguments of SubmitJob.
        job: Name of the job in the plan.
    """
    return [
        SettingsError(what=f"AWS Batch would refuse job {job!r}", why=why, fix=fix)
        for why, fix in _faults(request)
    ]


def _faults(request: SubmitJobRequestTypeDef) -> Iterator[Fault]:
    # Batch accepts a job whose tags exceed the limit only together with its definition's tags, and
    # then moves it to FAILED.
    yield from tag_faults({**DEFINITION_TAGS, **request["tags"]})
    overrides = len(json.dumps(_overrides(request), separators=(",", ":")))
    if overrides > _MAX_OVERRIDES_CHARS:
        yield (
            "its command, requirements and environment variables can have at most "
            f"{_MAX_OVERRIDES_CHARS:,} characters, not {overrides:,}",
            "shorten the values of env=, or send them in a file of the project",
        )
        return
    size = len(json.dumps(request).encode())
    if size > _MAX_REQUEST_BYTES:
        yield (
            f"its submission can have at most {_MAX_REQUEST_BYTES:,} bytes, not {size:,}",
            "shorten the values of env= and of the setting `tags`",
        )


def _overrides(request: SubmitJobRequestTypeDef) -> Mapping[str, Any]:
    """Return the overrides of the job's container, or of that of each of its nodes."""
    if "nodeOverrides" not in request:
        return request["containerOverrides"]
    (nodes,) = request["nodeOverrides"]["nodePropertyOverrides"]
    return nodes["containerOverrides"]
