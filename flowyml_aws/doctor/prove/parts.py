"""The parts of a proof: a service with a kind of capacity, and the tiny jobs that run there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from flowyml_aws.core.declared_options import OMITTED, DeclaredOptions
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.doctor.prove.steps import CHILDREN, step_limit_s

__all__ = ["Part", "parts_of"]

_LOOK = ("look",)
_CACHED = ("origin", "reuse")
_ARRAY = ("in_array",)
_MEET = ("meet",)
_FAIL, _SCHEDULED, _LINGER, _READ_DATA = "fail", "scheduled", "linger", "read_data"


@dataclass(frozen=True, slots=True)
class Part:
    """A service with a kind of capacity.

    Attributes:
        backend: Service of the jobs.
        capacity: Capacity of the queue; empty if the settings decide.
        settings: Names of the settings without which the part can't run.
        gpu: Type of the GPU of the jobs, or None.
        stages: Names of the steps of each run; a run starts when the one before has ended.
        checks: Names of the checks, in the order of the report.
        nodes: Number of nodes of the jobs.
        has_efa: Whether each node must have an Elastic Fabric Adapter.
        options: Options of the steps.
        shares_instance: Whether the runs use the same instance, which is started once.
    """

    name: str
    backend: str
    capacity: str
    settings: tuple[str, ...]
    gpu: str | None
    stages: tuple[tuple[str, ...], ...]
    checks: tuple[str, ...]
    shares_instance: bool
    nodes: int = 1
    has_efa: bool = False
    options: DeclaredOptions = OMITTED

    @property
    def failing_stage(self) -> int | None:
        """Position of the run whose job fails on purpose, to send an alert; None without one."""
        return next((n for n, steps in enumerate(self.stages) if _FAIL in steps), None)

    @property
    def is_scheduled(self) -> bool:
        """Return whether a schedule starts the run."""
        return self._has(_SCHEDULED)

    @property
    def has_shell(self) -> bool:
        """Return whether a shell is opened in the job."""
        return self._has(_LINGER)

    @property
    def has_data(self) -> bool:
        """Return whether a step reads a prefix of S3 that the service mounts."""
        return self._has(_READ_DATA)

    def _has(self, step: str) -> bool:
        return any(step in steps for steps in self.stages)

    def limit_s(self, stage: int) -> float:
        """Return the time limit of a run in seconds, with all of its attempts and children."""
        steps = self.stages[stage]
        attempts = 2 if "end_once" in steps else CHILDREN if steps == _ARRAY else 1
        return attempts * sum(step_limit_s(name, self.gpu) for name in steps)

    def billed_s(self, startup_s: int) -> float:
        """Return the seconds of instances that the part uses at most.

        Args:
            startup_s: Assumed seconds until an instance has started.
        """
        starts = 1 if self.shares_instance else len(self.stages)
        return starts * startup_s + sum(self.limit_s(n) for n in range(len(self.stages)))


_PARTS = (
    Part(
        "batch",
        "batch",
        "on-demand",
        (),
        None,
        ((*_LOOK, *_CACHED), (*_CACHED, "end_once", _FAIL), _ARRAY),
        (
            *("run", "instance type", "price", "disk", "shared memory", "metadata"),
            *("cache", "retry", "alert", "array"),
        ),
        shares_instance=True,
        options=DeclaredOptions(shared_memory="768Mi"),  # more than the default, half the memory
    ),
    Part(
        "batch-spot",
        "batch",
        "spot",
        (),
        None,
        (_LOOK,),
        ("run", "instance type", "price", "disk", "shared memory", "metadata"),
        shares_instance=True,
    ),
    Part(
        "sagemaker",
        "sagemaker",
        "",
        ("sagemaker_role",),
        None,
        ((*_LOOK, *_CACHED), _CACHED),
        ("run", "instance type", "price", "billed time", "folders", "disk", "cache"),
        shares_instance=False,
    ),
)
_BASIC_CHECKS = ("run", "instance type", "price")
_GPU_CHECKS = (*_BASIC_CHECKS, "gpu")
_NODE_CHECKS = (*_BASIC_CHECKS, "nodes")
_NODES = 2
_PRIORITY = 10
_SCHEDULE_SETTINGS = ("schedule_group", "schedule_role", "driver_queue")


def parts_of(
    gpu: str | None,
    only: Collection[str],
    *,
    has_nodes: bool = False,
    has_efa: bool = False,
) -> Sequence[Part]:
    """Return the parts of a proof.

    Args:
        gpu: Type of the GPU of one more job on each service, or None.
        only: Names of the parts to keep; empty for all.
        has_nodes: Whether there is one more job on each service, on two nodes.
        has_efa: The same for two nodes with an Elastic Fabric Adapter each.

    Raises:
        SettingsError: A name is unknown.
    """
    services = [part for part in _PARTS if len(part.stages) > 1]  # one job per service
    parts = [*_PARTS, *_option_parts(*services)]
    if gpu is not None:
        parts += (
            replace(part, name=f"{part.name}-gpu", gpu=gpu, stages=(_LOOK,), checks=_GPU_CHECKS)
            for part in services
        )
    if has_nodes:
        parts += (_on_nodes(part, "nodes") for part in services)
    if has_efa:
        parts += (replace(_on_nodes(part, "efa", "efa"), has_efa=True) for part in services)
    names = [part.name for part in parts]
    missing = {
        **({"gpu": "add --gpu TYPE"} if gpu is None else {}),
        **({} if has_nodes else {"nodes": "add --nodes"}),
        **({} if has_efa else {"efa": "add --efa"}),
    }
    for name in only:
        if name not in names:
            raise SettingsError(
                what=f"Unknown part {name!r} of the proof",
                why=f"the parts are {', '.join(names)}",
                fix=missing.get(name.rpartition("-")[2])
                or did_you_mean(name, names, "name one of them"),
            )
    return [part for part in parts if not only or part.name in only]


def _on_nodes(part: Part, suffix: str, *checks: str) -> Part:
    return replace(
        part,
        name=f"{part.name}-{suffix}",
        nodes=_NODES,
        stages=(_MEET,),
        checks=(*_NODE_CHECKS, *checks),
    )


def _option_parts(batch: Part, sagemaker: Part) -> list[Part]:
    """Return the parts of options, which an account may lack."""

    def variant(part: Part, suffix: str, step: str, *settings: str) -> Part:
        return replace(
            part,
            name=f"{part.name}-{suffix}",
            settings=(*part.settings, *settings),
            stages=((step,),),
            checks=(*_BASIC_CHECKS, suffix),
            options=OMITTED,
        )

    prioritized = replace(
        variant(batch, "priority", "origin"),
        capacity="",
        options=DeclaredOptions(priority=_PRIORITY),
    )
    return [
        prioritized,
        variant(batch, "schedule", _SCHEDULED, *_SCHEDULE_SETTINGS),
        variant(batch, "shell", _LINGER, "debug_shell"),
        variant(sagemaker, "shell", _LINGER, "debug_shell"),
        variant(sagemaker, "data", _READ_DATA),
    ]
