"""Plans and run records without a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowyml_aws.core.arguments import Arguments
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob
from flowyml_aws.runtime.program import Program
from flowyml_aws.runtime.spec import CodeSource, JobSpec, StepCache, StepSpec, StoredObject
from flowyml_aws.submission.record import RunRecord, SpecPlace

__all__ = ["a_job", "a_plan", "a_record", "a_spec"]


def a_job(name: str, after: Sequence[str] = (), **changes: Any) -> PlannedJob:
    """Return a job with one step of the same name."""
    price = changes.pop("price_usd_hour", 0.1)
    needs = {"vcpus": 1, "memory_mib": 2048, "storage_gib": 0, "gpu_model": None, "gpu_count": 0}
    needs.update({key: changes.pop(key) for key in needs.keys() & changes.keys()})
    members: dict[str, Any] = {
        "name": name,
        "group": None,
        "steps": (name,),
        "after": tuple(after),
        "needs": Needs(**needs),  # type: ignore[arg-type]
        "backend": "batch",
        "target": "cpu",
        "offers": (InstanceOffer(instance_type="m6i.large", price_usd_hour=price),),
        "reads": {},
        "produces": {name: (name,)},
        "stored": (name,),
        "timeout_s": None,
        "notes": (),
    }
    return PlannedJob(**{**members, **changes})


def a_plan(*jobs: PlannedJob, backend: str = "batch") -> ExecutionPlan:
    return ExecutionPlan(
        pipeline="My pipeline: été",
        backend=backend,
        region="us-east-1",
        prices_of="2026-07-20",
        jobs=jobs,
    )


def a_record(plan: ExecutionPlan, digests: Mapping[str, str] | None = None) -> RunRecord:
    """Return the record of a run whose specs are in pack 0, at 0, 100, 200, …."""
    digests = digests or {job.name: "0" * 64 for job in plan.jobs}
    return RunRecord(
        run_id="my-pipeline-20261122-150531-3f9a1c",
        pipeline=plan.pipeline,
        backend=plan.backend,
        created_at=0.0,
        client="here",
        specs={
            job: SpecPlace(pack=0, offset=100 * number, size_bytes=100, sha256=digest)
            for number, (job, digest) in enumerate(digests.items())
        },
    )


def a_spec(job: str, padding: str = "", cache: StepCache | None = None) -> JobSpec:
    """Return the spec of a job with one step, without objects in a store."""
    stored = StoredObject(key="k", sha256="0" * 64, size_bytes=1)
    step = StepSpec(
        name=job + padding,
        reads=(),
        arguments=Arguments(),
        outputs=("a",),
        stored=(),
        retry=0,
        retry_delay_s=0,
        timeout_s=None,
        cache=cache,
    )
    return JobSpec(
        store="s3://b",
        run_id="r",
        pipeline="p",
        job=job,
        python="3.12",
        code=CodeSource(bundle=stored, in_place=False, root="/", program=Program(paths=())),
        payload=stored,
        steps=(step,),
        assets={},
    )
