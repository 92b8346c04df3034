"""Arguments of FlowyML's `run` that are defaults of steps: `resources` and `retry_policy`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from flowyml.core.resources import ResourceRequirements as FlowymlResources
from flowyml.core.retry_policy import OrchestratorRetryPolicy
from flowyml.stacks.components import ResourceConfig

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.resources import GPUConfig, NodeAffinity, ResourceRequirements
from flowyml_aws.core.step import Step
from flowyml_aws.integrations.flowyml.resources import requirements_of
from flowyml_aws.planning.targets import INSTANCE_TYPE_LABEL

__all__ = ["RunDefaults", "defaults_of"]


@dataclass(frozen=True, slots=True)
class RunDefaults:
    """Requirements and retries of the steps that declare none.

    Attributes:
        resources: Requirements, or None.
        retry: Maximum number of retries.
        retry_delay_s: Seconds before the first retry; doubled for each next one, up to 60.
    """

    resources: ResourceRequirements | None = None
    retry: int = 0
    retry_delay_s: float = 1.0

    def apply(self, step: Step) -> Step:
        """Return the step with the defaults that it needs."""
        if step.resources is None and self.resources is not None:
            step = replace(step, resources=self.resources)
        if step.retry == 0 and self.retry:
            step = replace(step, retry=self.retry, retry_delay_s=self.retry_delay_s)
        return step


def defaults_of(resources: Any, retry_policy: Any) -> RunDefaults:
    """Return the defaults of a run.

    Args:
        resources: FlowyML's `ResourceConfig` (a `disk_size` is storage, a `machine_type` an
            instance type), resources as a step declares them, or None.
        retry_policy: FlowyML's `OrchestratorRetryPolicy`, or None. FlowyML repeats the whole
            pipeline; here, its steps are repeated.

    Raises:
        SettingsError: An argument has another type, or a value that steps can't have.
    """
    requirements = _requirements(resources)
    if retry_policy is None:
        return RunDefaults(requirements)
    if not isinstance(retry_policy, OrchestratorRetryPolicy):
        raise SettingsError(
            what=f"Invalid argument retry_policy={retry_policy!r}",
            why="it must be an OrchestratorRetryPolicy of flowyml.core.retry_policy",
            fix="write retry_policy=OrchestratorRetryPolicy(max_attempts=3)",
        )
    _check(retry_policy)
    return RunDefaults(
        requirements, retry_policy.max_attempts - 1, float(retry_policy.initial_delay)
    )


def _requirements(resources: Any) -> ResourceRequirements | None:
    if resources is None or isinstance(resources, FlowymlResources | ResourceRequirements):
        return requirements_of(resources)
    if not isinstance(resources, ResourceConfig):
        raise SettingsError(
            what=f"Invalid argument resources={resources!r}",
            why="it must be a ResourceConfig of FlowyML, a dict with its fields, or the resources "
            "of a step",
            fix='write resources={"cpu": "4", "memory": "16Gi"}',
        )
    count = resources.gpu_count or (1 if resources.gpu else 0)
    machine = (resources.machine_type or "").removeprefix("ml.")  # SageMaker's prefix
    return ResourceRequirements(
        cpu=resources.cpu,
        memory=resources.memory,
        storage=resources.disk_size,
        gpu=GPUConfig(resources.gpu or "generic", count) if count else None,
        node_affinity=NodeAffinity({INSTANCE_TYPE_LABEL: machine}) if machine else None,
    )


def _check(policy: OrchestratorRetryPolicy) -> None:
    """Refuse a value of a retry policy that the retries of a step can't have."""
    attempts, statuses = policy.max_attempts, policy.retry_on_status
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise _invalid("max_attempts", attempts, "an integer of at least 1")
    if policy.multiplier != 2 and attempts > 2:  # one retry has one delay
        raise _invalid("multiplier", policy.multiplier, "2: each delay is twice the one before")
    names: Collection[str] = [str(status).lower() for status in statuses]
    if [*names] != ["failed"]:
        raise _invalid("retry_on_status", statuses, '["FAILED"]: only failed steps are repeated')


def _invalid(field: str, value: object, expected: str) -> SettingsError:
    return SettingsError(
        what=f"Invalid argument retry_policy: {field}={value!r} is not supported",
        why=f"its attempts are retries of steps, so that it must be {expected}",
        fix="change it, or declare the retries of each step: @step(retry=3)",
    )
