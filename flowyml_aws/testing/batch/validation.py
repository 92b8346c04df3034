"""AWS Batch limits that moto does not check (AWS Batch API reference and service quotas)."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowyml_aws.testing.batch.mounts import container_faults
from flowyml_aws.testing.refusal import Refusal

__all__ = [
    "TOO_MANY_TAGS",
    "ClientException",
    "check_container",
    "check_job_definition",
    "check_overrides",
    "check_reason",
    "check_submission",
    "has_too_many_tags",
]

TOO_MANY_TAGS = "The job and its job definition have more than 50 tags together"
"""Status reason of a job with too many tags. The text of AWS is not documented."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_EXIT_CODE = re.compile(r"[0-9]*\*?")
_PATTERN = re.compile(r"[A-Za-z0-9.:\s]*\*?")
_MAX_SUBMISSION_BYTES = 30 * 1024
_MAX_OVERRIDES_CHARS = 8192
_MAX_DEPENDENCIES = 20
_MAX_TAGS = 50
_MIN_TIMEOUT_S = 60
_MIN_ARRAY, _MAX_ARRAY = 2, 10_000
_EFA_DEVICE = "/dev/infiniband/uverbs"
_ALL_PERMISSIONS = {"READ", "WRITE", "MKNOD"}


class ClientException(Refusal):
    """AWS Batch's error for an invalid request."""

    @property
    def body(self) -> dict[str, Any]:
        """Body of the response: only a message with a request id, as Batch returns it."""
        request_id = uuid.uuid4()
        return {"message": f"Error executing request, Exception : {self}, RequestId: {request_id}"}


def check_submission(request: Mapping[str, Any], size_bytes: int) -> None:
    """Check a SubmitJob request, without looking up what it refers to.

    Raises:
        ClientException: AWS would reject the request.
    """
    if size_bytes > _MAX_SUBMISSION_BYTES:
        raise ClientException(f"The job's payload is larger than {_MAX_SUBMISSION_BYTES} bytes")
    _check_name("Job name", request.get("jobName"))
    _check_common(request)
    if len(request.get("dependsOn") or ()) > _MAX_DEPENDENCIES:
        raise ClientException(f"A job can depend upon a maximum of {_MAX_DEPENDENCIES} jobs")
    check_overrides(request.get("containerOverrides") or {})
    size = (request.get("arrayProperties") or {}).get("size")
    if size is not None and not _MIN_ARRAY <= size <= _MAX_ARRAY:
        raise ClientException(f"The array size must be between {_MIN_ARRAY} and {_MAX_ARRAY}")


def has_too_many_tags(job: Mapping[str, str], definition: Mapping[str, str]) -> bool:
    """Return whether Batch moves a job to FAILED because it can't propagate all of its tags.

    Source: AWS Batch API reference, SubmitJob, propagateTags.
    """
    return len({**definition, **job}) > _MAX_TAGS


def check_job_definition(request: Mapping[str, Any]) -> None:
    """Check a RegisterJobDefinition request.

    Raises:
        ClientException: AWS would reject the request.
    """
    _check_name("Job definition name", request.get("jobDefinitionName"))
    _check_common(request)
    container = request.get("containerProperties") or {}
    is_fargate = "FARGATE" in (request.get("platformCapabilities") or ())
    check_container(container, is_fargate)
    if is_fargate and _devices_of(container):
        raise ClientException("devices aren't applicable to jobs on Fargate resources")


def check_overrides(container: Mapping[str, Any]) -> None:
    """Check the overrides of a container in a SubmitJob request.

    Raises:
        ClientException: AWS would reject them.
    """
    if len(json.dumps(container, separators=(",", ":"))) > _MAX_OVERRIDES_CHARS:
        raise ClientException(
            f"Container overrides length must be at most {_MAX_OVERRIDES_CHARS} characters"
        )
    check_container(container)


def check_reason(request: Mapping[str, Any]) -> None:
    """Check a CancelJob or TerminateJob request.

    Raises:
        ClientException: AWS would reject the request.
    """
    for field in ("jobId", "reason"):
        if not request.get(field):
            raise ClientException(f"'{field}' is a required field (cannot be an empty string)")
    if len(request["reason"]) > 1024:
        raise ClientException("'reason' can have at most 1024 characters")


def _check_name(what: str, name: str | None) -> None:
    if name is None or not _NAME.fullmatch(name):
        raise ClientException(f"{what} should match valid pattern: {_NAME.pattern}")


def _check_common(request: Mapping[str, Any]) -> None:
    _check_tags(request.get("tags") or {})
    _check_retry_strategy(request.get("retryStrategy") or {})
    timeout_s = (request.get("timeout") or {}).get("attemptDurationSeconds")
    if timeout_s is not None and timeout_s < _MIN_TIMEOUT_S:
        raise ClientException(f"Timeout must be at least {_MIN_TIMEOUT_S} seconds")


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > _MAX_TAGS:
        raise ClientException(f"A resource can have at most {_MAX_TAGS} tags")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise ClientException(f"Invalid tag: {key}")


def _check_retry_strategy(strategy: Mapping[str, Any]) -> None:
    attempts = strategy.get("attempts")
    if attempts is not None and not 1 <= attempts <= 10:
        raise ClientException("Attempts must be between 1 and 10")
    rules: Sequence[Mapping[str, str]] = strategy.get("evaluateOnExit") or ()
    if len(rules) > 5:
        raise ClientException("evaluateOnExit can have at most 5 entries")
    if rules and attempts is None:
        raise ClientException("attempts must be specified with evaluateOnExit")
    for rule in rules:
        if rule.get("action", "").upper() not in ("RETRY", "EXIT"):
            raise ClientException("The action of evaluateOnExit must be RETRY or EXIT")
        if not _EXIT_CODE.fullmatch(rule.get("onExitCode", "")):
            raise ClientException("onExitCode can only have digits, and an asterisk at its end")
        for pattern in (rule.get(field, "") for field in ("onReason", "onStatusReason")):
            if len(pattern) > 512 or not _PATTERN.fullmatch(pattern):
                raise ClientException(
                    "A pattern of evaluateOnExit can have at most 512 letters, digits, periods, "
                    "colons and spaces, and an asterisk at its end"
                )


def check_container(container: Mapping[str, Any], is_fargate: bool = False) -> None:
    """Check the properties of a container in a job definition.

    Args:
        container: The properties.
        is_fargate: Whether the definition is for Fargate.

    Raises:
        ClientException: AWS would reject them.
    """
    names: Iterable[str] = (e.get("name", "") for e in container.get("environment") or ())
    for name in names:
        if name.startswith("AWS_BATCH"):
            raise ClientException(f"Environment variable names can't start with AWS_BATCH: {name}")
    for requirement in container.get("resourceRequirements") or ():
        kind, value = requirement.get("type"), str(requirement.get("value"))
        if kind not in ("GPU", "VCPU", "MEMORY"):
            raise ClientException(f"Unknown resource requirement: {kind}")
        # Fractions of a vCPU are for Fargate; the emulated compute environments are EC2.
        least = 4 if kind == "MEMORY" else 1
        if not value.isdecimal() or int(value) < least:
            raise ClientException(f"{kind} must be a whole number of at least {least}: {value}")
    for device in _devices_of(container):
        _check_device(device)
    for fault in container_faults(container, is_fargate):
        raise ClientException(fault)


def _devices_of(container: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (container.get("linuxParameters") or {}).get("devices") or ()


def _check_device(device: Mapping[str, Any]) -> None:
    """Check a device of a container, with the rules for those of Elastic Fabric Adapters.

    Source: "Elastic Fabric Adapter" in the user guide of AWS Batch.
    """
    path = device.get("hostPath") or ""
    if not path:
        raise ClientException("A device requires hostPath")
    if not path.startswith(_EFA_DEVICE):
        return
    if device.get("containerPath", path) != path:
        raise ClientException(f"containerPath must be {path}, as hostPath is")
    if device.get("permissions") and set(device["permissions"]) != _ALL_PERMISSIONS:
        raise ClientException(f"permissions of {path} must be READ, WRITE and MKNOD")
