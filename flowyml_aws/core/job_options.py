"""Options of the job that runs a step: its image, queue, role, limits and mounts.

What they require of a target is expressed by node labels, as `spot` is: then selections, prices,
alternatives and the splits of groups take them into account.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce

from flowyml_aws.core.mounts import Mount
from flowyml_aws.core.resources import NodeAffinity, ResourceRequirements

__all__ = [
    "FAIR_SHARE_LABEL",
    "NO_OPTIONS",
    "QUEUE_LABEL",
    "JobOptions",
    "Ulimit",
    "fsx_label",
    "fsx_of_label",
    "merge_options",
    "with_options",
]

QUEUE_LABEL = "karpenter.sh/nodepool"
"""Label with the name of a target: a target is a node pool."""
FAIR_SHARE_LABEL = "flowyml-aws/fair-share"
"""Label of the queues that have a fair-share scheduling policy, with the value `true`."""
_FSX_DOMAIN = "fsx.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A limit of the processes of a container, by its name in `ulimit` of ECS; -1 for no limit."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Options of a job, checked and normalized. Equal options can share a job.

    Attributes:
        image: URI of the container image.
        queue: Name of the job queue.
        priority: Scheduling priority in a fair-share queue, 0 to 9999.
        role: ARN of the role whose credentials the code gets.
        shared_memory_mib: Size of /dev/shm in MiB.
        ulimits: Limits of its processes, by name.
        mounts: File systems, by the folder at which they are mounted.
        job_definition: Name or ARN of an existing job definition, which is used as it is.
    """

    image: str | None = None
    queue: str | None = None
    priority: int | None = None
    role: str | None = None
    shared_memory_mib: int | None = None
    ulimits: tuple[Ulimit, ...] = ()
    mounts: tuple[Mount, ...] = ()
    job_definition: str | None = None

    def values(self) -> dict[str, str]:
        """Return the value of each option as a string; ulimits and mounts one by one."""
        return {" ".join(key): value for *key, value in self._rows()}

    @property
    def names(self) -> tuple[str, ...]:
        """Arguments of `step` that are set."""
        return tuple(dict.fromkeys(row[0] for row in self._rows()))

    def _rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the argument of each value, the name of a ulimit or the path of a mount, and it."""
        singles = {
            "image": self.image,
            "queue": self.queue,
            "priority": self.priority,
            "role": self.role,
            "shared_memory": None
            if self.shared_memory_mib is None
            else f"{self.shared_memory_mib}Mi",
            "job_definition": self.job_definition,
        }
        yield from ((name, str(value)) for name, value in singles.items() if value is not None)
        for ulimit in self.ulimits:
            yield "ulimits", ulimit.name, f"{ulimit.soft}:{ulimit.hard}"
        for mount in self.mounts:
            yield "mounts", mount.at, str(mount)


NO_OPTIONS = JobOptions()
"""Options of a job of which no step has any."""


def fsx_label(file_system_id: str) -> str:
    """Return the label of the targets whose instances mount a file system of FSx."""
    return f"{_FSX_DOMAIN}/{file_system_id}"


def fsx_of_label(label: str) -> str | None:
    """Return the file system of FSx that a label is about; None for any other label."""
    domain, _, file_system_id = label.partition("/")
    return file_system_id if domain == _FSX_DOMAIN else None


def merge_options(options: Iterable[JobOptions]) -> JobOptions:
    """Return the options of a job from those of its steps, which have no conflict."""
    return reduce(_merged, options, NO_OPTIONS)


def with_options(
    resources: ResourceRequirements | None, options: JobOptions
) -> ResourceRequirements | None:
    """Return the resources of a step with the labels that its options require.

    Raises:
        AffinityConflictError: The resources require another value of a label.
    """
    if options is NO_OPTIONS:  # as for most steps
        return resources
    required = dict(_required_labels(options))
    if not required:
        return resources
    own = ResourceRequirements(node_affinity=NodeAffinity(required=required))
    return own if resources is None else resources.merge_with(own)


def _required_labels(options: JobOptions) -> Iterator[tuple[str, str]]:
    if options.queue is not None:
        yield QUEUE_LABEL, options.queue
    if options.priority is not None:
        yield FAIR_SHARE_LABEL, "true"
    for mount in options.mounts:
        if mount.kind == "fsx":
            yield fsx_label(mount.file_system_id), "mounted"


def _merged(first: JobOptions, second: JobOptions) -> JobOptions:
    if second == NO_OPTIONS or first == second:
        return first
    singles = ("image", "queue", "priority", "role", "shared_memory_mib", "job_definition")
    changes = {n: value for n in singles if (value := getattr(second, n)) is not None}
    ulimits = {each.name: each for each in (*first.ulimits, *second.ulimits)}
    mounts = {each.at: each for each in (*first.mounts, *second.mounts)}
    return replace(
        first,
        **changes,
        ulimits=tuple(ulimits[name] for name in sorted(ulimits)),
        mounts=tuple(mounts[at] for at in sorted(mounts)),
    )
