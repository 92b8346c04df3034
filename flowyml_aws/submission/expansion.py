"""Documents on the pipeline of a dynamic step: as its job has planned it, and as it is decided."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import EXPANSION, RunLayout
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.caching.run_keys import RunKeys
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.planning.expansion_facts import ExpansionFacts
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.runtime.code import fetch
from flowyml_aws.runtime.result import ExpandedOutputs
from flowyml_aws.runtime.spec import JobSpec

__all__ = ["Expansion", "ExpansionDecision", "outputs_of", "read_expansion", "read_facts"]


class Expansion(Document):
    """The pipeline of a dynamic step, as the job of the step has planned it.

    Attributes:
        run_id: Id of its run, if it is accepted.
        depth: Number of runs around this run.
        outputs: Asset of the dynamic step → asset of the pipeline.
        plan: Plan without a cost limit.
        specs: Specs of the jobs of the plan.
        keys: Components of the cache keys of its steps.
        parameters: Values of its context, as text of limited length.
    """

    omits_defaults: ClassVar[bool] = True

    version: Literal[1] = 1
    run_id: str
    depth: int
    outputs: dict[str, str]
    plan: StoredPlan
    specs: tuple[JobSpec, ...]
    keys: RunKeys
    parameters: dict[str, str] = Field(default_factory=dict)


class ExpansionDecision(Document):
    """The decision of the driver on the pipeline of a dynamic step. The first one counts.

    Attributes:
        run_id: Id of the run of the pipeline.
        decided_at: Time of the decision, in seconds since the epoch.
        refusal: Reason why it is not started; None if it is.
        max_cost_usd: Maximum cost of that run: what the run that contains it has left.
    """

    version: Literal[1] = 1
    run_id: str
    decided_at: float
    refusal: str | None = None
    max_cost_usd: float | None = None


def read_expansion(
    store: ArtifactStore, run_id: str, job: str, attempt: int, sha256: str
) -> Expansion:
    """Return the pipeline that the attempt of a job has planned.

    Raises:
        DamagedArtifactError: It is not what the result of the job names.
        ArtifactNotFoundError: The object does not exist.
    """
    key = RunLayout(run_id).attempt(job, attempt, EXPANSION)
    data = store.get(key)
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise DamagedArtifactError(
            what=f"{store.uri}/{key} does not contain what job {job!r} has planned",
            why=f"its SHA-256 is {actual}, expected {sha256}",
            fix="run the pipeline again; nothing of it was started",
        )
    return read_document(Expansion, data, f"{store.uri}/{key}")


def read_facts(store: ArtifactStore, spec: JobSpec) -> ExpansionFacts:
    """Return the facts for the pipeline of a job's dynamic step.

    Raises:
        DamagedArtifactError: They are not those that the client has written.
        ArtifactNotFoundError: The object does not exist.
    """
    assert spec.expanding is not None
    place = spec.expanding.facts
    return read_document(ExpansionFacts, fetch(store, place), f"{store.uri}/{place.key}")


def outputs_of(
    expansion: Expansion,
    plan: ExecutionPlan,
    refs: Mapping[str, ArtifactRef],
    skipped: Mapping[str, str],
) -> ExpandedOutputs:
    """Return the outputs of a dynamic step whose pipeline has succeeded.

    Args:
        expansion: The pipeline.
        plan: Its plan.
        refs: Refs of the assets of its run.
        skipped: Assets of its run that do not exist because their step was skipped, with the cause.
    """
    absent = {**plan.absent, **skipped}
    for step in plan.reused.values():
        absent.update(step.skipped)
    return ExpandedOutputs(
        run_id=expansion.run_id,
        assets={asset: refs[own] for asset, own in expansion.outputs.items() if own in refs},
        skipped={asset: absent[own] for asset, own in expansion.outputs.items() if own in absent},
    )
