"""Specs and calls of a step on several nodes, without a run."""

from __future__ import annotations

from typing import Any

from flowyml_aws.core.arguments import Arguments
from flowyml_aws.runtime.nodes.messages import Member, NodeCall
from flowyml_aws.runtime.program import Program
from flowyml_aws.runtime.spec import CodeSource, JobSpec, StepSpec, StoredObject

STORED = StoredObject(key="code/x", sha256="0" * 64, size_bytes=1)


def step_spec(**more: Any) -> StepSpec:
    facts: dict[str, Any] = {
        "name": "train",
        "reads": (),
        "outputs": ("model",),
        "stored": ("model",),
        "arguments": Arguments(),
        "retry": 0,
        "retry_delay_s": 0.0,
        "timeout_s": None,
        "nodes": 2,
    }
    return StepSpec(**{**facts, **more})


def job_spec(store: str = "s3://bucket/prefix", **more: Any) -> JobSpec:
    return JobSpec(
        store=store,
        run_id="run-1",
        pipeline="pipeline",
        job="train",
        python="3.11",
        code=CodeSource(bundle=STORED, in_place=False, root="/project", program=Program(paths=())),
        payload=STORED,
        steps=(step_spec(**more),),
        assets={},
    )


def call_of(*members: Member) -> NodeCall:
    return NodeCall(
        number=1,
        spec=job_spec(),
        assets={},
        skipped={},
        dropped={},
        members=members,
        port=1234,
    )
