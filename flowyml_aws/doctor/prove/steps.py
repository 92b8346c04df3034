"""The steps of the tiny jobs, which jobs import from the package in their image."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flowyml_aws.core.declared_options import OMITTED, DeclaredOptions
from flowyml_aws.core.resources import GPUConfig, NodeAffinity, ResourceRequirements
from flowyml_aws.core.step import Step
from flowyml_aws.doctor.prove.efa import efa_facts
from flowyml_aws.doctor.prove.facts import MachineFacts, machine_facts
from flowyml_aws.doctor.prove.meeting import Meeting, meet_nodes

__all__ = [
    "CHILDREN",
    "CPU",
    "DATA",
    "DATA_FILE",
    "DATA_INPUT",
    "GROUP",
    "MEMORY",
    "PURPOSE",
    "ProofFailed",
    "make_steps",
    "step_limit_s",
]

GROUP = "prove"
CPU, MEMORY = 1, "1Gi"
CHILDREN = 2  # of the array job
DATA_INPUT, DATA_FILE = "data", "proof.txt"
DATA = "an object that flowyml-aws doctor --prove has written"
PURPOSE = "flowyml-aws doctor --prove lets this job fail, to see that an alert is delivered"


# The limits decide the highest price of a proof.
_LIMIT_S = 3.0
_LINGER_S = 40.0  # the agent for shells connects some seconds after the start of the container
_MEET_LIMIT_S = 20.0
_LOOK_LIMIT_S, _LOOK_GPU_LIMIT_S = 5.0, 20.0  # the first call of nvidia-smi loads its driver


class ProofFailed(Exception):
    """A step failed on purpose."""


def look(proof: str, asks_metadata: bool) -> MachineFacts:
    """Return the facts of the machine of this job."""
    return machine_facts(os.environ, asks_metadata)


def origin(proof: str) -> str:
    """Return a value that no earlier proof has seen, and that is the same in all its runs."""
    return proof


def reuse(origin: str) -> str:
    """Return a value that is found in the cache by the content of its input."""
    return f"{origin}-{secrets.token_hex(4)}"


def end_once(proof: str) -> str:
    """End the first attempt like a spot interruption: SIGTERM, and exit code 143."""
    if os.environ.get("AWS_BATCH_JOB_ATTEMPT", "1") == "1":
        print("this attempt ends with exit code 143 on purpose", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_LIMIT_S)  # the signal ends it at once
    return proof


def fail(end_once: str) -> str:
    """Fail, so that the account sends an alert."""
    raise ProofFailed(PURPOSE)


def in_array(proof: str, child: int) -> dict[str, str]:
    """Return what a child of an array job knows about its place."""
    return {
        "index": os.environ.get("AWS_BATCH_JOB_ARRAY_INDEX", ""),
        "job": os.environ.get("AWS_BATCH_JOB_ID", ""),
    }


def scheduled(proof: str) -> str:
    """Return the time of the schedule that has started the run."""
    return os.environ.get("FLOWYML_SCHEDULED_TIME", "")


def linger(proof: str) -> str:
    """Keep the job running, so that a shell can be opened in it."""
    time.sleep(_LINGER_S)
    return proof


def read_data(proof: str, data: Path) -> str:
    """Return the content of the object below the prefix of S3."""
    return (data / DATA_FILE).read_text("utf-8")


def meet(proof: str) -> Meeting:
    """Return the nodes that have reached the main node."""
    return meet_nodes(os.environ, _MEET_LIMIT_S / 2, efa_facts(os.environ))


def make_steps(
    names: Iterable[str],
    capacity: str,
    gpu: str | None,
    nodes: int = 1,
    *,
    has_efa: bool = False,
    options: DeclaredOptions = OMITTED,
) -> list[Step]:
    """Return some of the steps, as one group for a kind of capacity.

    Args:
        names: Names of the steps, in order.
        capacity: `on-demand` or `spot`; empty if the job has no choice.
        gpu: Type of the GPU of the job, or None.
        nodes: Number of nodes of the job.
        has_efa: Whether each node must have an Elastic Fabric Adapter.
        options: Options of the steps.
    """
    labels = {
        **({"karpenter.sh/capacity-type": capacity} if capacity else {}),
        **({"vpc.amazonaws.com/efa.present": "true"} if has_efa else {}),
    }
    resources = ResourceRequirements(
        cpu=CPU,
        memory=MEMORY,
        gpu=None if gpu is None else GPUConfig(gpu),
        node_affinity=NodeAffinity(required=labels) if labels else None,
        nodes=nodes,
    )
    return [_make_step(name, resources, step_limit_s(name, gpu), options) for name in names]


def step_limit_s(name: str, gpu: str | None) -> float:
    """Return the time limit of a step in seconds."""
    if name == "meet":
        return _MEET_LIMIT_S
    if name == "linger":
        return _LINGER_S + _LIMIT_S
    if name != "look":
        return _LIMIT_S
    return _LOOK_LIMIT_S if gpu is None else _LOOK_GPU_LIMIT_S


def _make_step(
    name: str, resources: ResourceRequirements, limit_s: float, options: DeclaredOptions
) -> Step:
    function, inputs, cache = _STEPS[name]
    step = Step(
        func=function,
        name=name,
        inputs=inputs,
        cache=cache,
        cache_explicit=True,
        timeout_s=limit_s,
        resources=resources,
        execution_group=GROUP,
        options=options,
    )
    if name != "in_array":
        return step
    return step.map(grid={"child": range(CHILDREN)}, items_per_job=1)


_STEPS: dict[str, tuple[Callable[..., Any], tuple[str, ...], bool | str]] = {
    "look": (look, (), False),
    "origin": (origin, (), False),
    "reuse": (reuse, ("origin",), "input_hash"),
    "end_once": (end_once, (), False),
    "fail": (fail, ("end_once",), False),
    "in_array": (in_array, (), False),
    "scheduled": (scheduled, (), False),
    "linger": (linger, (), False),
    "read_data": (read_data, (DATA_INPUT,), False),
    "meet": (meet, (), False),
}
