"""Options of a step's job as the user declares them, and their checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from flowyml_aws.core.errors import FlowymlError, InvalidQuantityError, InvalidStepError
from flowyml_aws.core.job_options import NO_OPTIONS, JobOptions, Ulimit
from flowyml_aws.core.mounts import EFS, FSx, Mount, as_mount, mount_faults
from flowyml_aws.core.quantities import Quantity, memory_mib
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.written import shortened

__all__ = ["OMITTED", "DeclaredOptions", "UlimitValue"]

UlimitValue = int | tuple[int, int]
"""A limit, or a soft and a hard limit."""

_MOST_PRIORITY = 9999  # API reference of AWS Batch, SubmitJob
_ROLE = re.compile(r"arn:[\w-]+:iam::\d{12}:role/[\w+=,.@/-]+")
_QUEUE = re.compile(r"[A-Za-z0-9][\w-]{0,127}", re.ASCII)
_DEFINITION = re.compile(
    r"(arn:[\w-]+:batch:[\w-]+:\d{12}:job-definition/)?[A-Za-z0-9][\w-]{0,127}(:\d+)?", re.ASCII
)
# API reference of AWS Batch, Ulimit.
_ULIMITS = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc"),
    *("rss", "rtprio", "rttime", "sigpending", "stack"),
)
_IN_A_DEFINITION = ("image", "role", "shared_memory", "ulimits", "mounts")


@dataclass(frozen=True, slots=True)
class DeclaredOptions:
    """Options of a job as `step` gets them; None for those that are omitted.

    Attributes:
        image, queue, priority, role, job_definition: Same as in `JobOptions`.
        shared_memory: Size of /dev/shm, such as `"8Gi"`.
        ulimits: Limits by name, such as `{"nofile": 65536}`.
        mounts: File systems: `[EFS(…), FSx(…)]`.
    """

    image: str | None = None
    queue: str | None = None
    priority: int | None = None
    role: str | None = None
    shared_memory: Quantity | None = None
    ulimits: Mapping[str, UlimitValue] | None = None
    mounts: Sequence[EFS | FSx] | None = None
    job_definition: str | None = None

    def options(self) -> JobOptions:
        """Return the options; those that are invalid are left out: `problems` reports them."""
        return NO_OPTIONS if self is OMITTED or self == OMITTED else self._read("")[0]

    def problems(self, step: str) -> list[FlowymlError]:
        """Return an error for each mistake.

        Args:
            step: Name of the step.
        """
        return [] if self is OMITTED or self == OMITTED else self._read(step)[1]

    def _read(self, step: str) -> tuple[JobOptions, list[FlowymlError]]:
        reader = _Reader(step)
        options = JobOptions(
            image=reader.text("image", self.image, _is_image, _IMAGE_RULE),
            queue=reader.text("queue", self.queue, _QUEUE.fullmatch, _QUEUE_RULE),
            priority=reader.priority(self.priority),
            role=reader.text("role", self.role, _ROLE.fullmatch, _ROLE_RULE),
            shared_memory_mib=reader.shared_memory(self.shared_memory),
            ulimits=reader.ulimits(self.ulimits),
            mounts=reader.mounts(self.mounts),
            job_definition=reader.text(
                "job_definition", self.job_definition, _DEFINITION.fullmatch, _DEFINITION_RULE
            ),
        )
        if self.job_definition is not None:
            contained = [name for name in _IN_A_DEFINITION if getattr(self, name) is not None]
            if contained:
                reader.problems.append(_contradiction(step, contained))
        return options, reader.problems


OMITTED = DeclaredOptions()
"""Options of a step that declares none."""

_IMAGE_RULE = "the URI of a container image", "write for example REGISTRY/NAME:TAG"
_QUEUE_RULE = "the name of a job queue", "write the name of the queue, not its ARN"
_ROLE_RULE = (
    "the ARN of an IAM role",
    "write for example arn:aws:iam::123456789012:role/training",
)
_DEFINITION_RULE = (
    "the name or the ARN of a job definition, with or without a revision",
    "write for example NAME or NAME:3",
)


class _Reader:
    """Reads the options of one step, and collects their mistakes.

    Attributes:
        problems: Mistakes so far.
    """

    def __init__(self, step: str) -> None:
        self.problems: list[FlowymlError] = []
        self._step = step

    def text(
        self,
        name: str,
        value: object,
        is_valid: Callable[[str], object],
        rule: tuple[str, str],
    ) -> str | None:
        if value is None:
            return None
        if isinstance(value, str) and is_valid(value):
            return value
        self._add(name, value, f"{name} must be {rule[0]}", rule[1])
        return None

    def priority(self, value: object) -> int | None:
        if value is None or (_is_integer(value) and 0 <= value <= _MOST_PRIORITY):
            return value
        why = f"priority must be an integer from 0 to {_MOST_PRIORITY}"
        self._add("priority", value, why, "a higher value starts earlier; omit it for 0")
        return None

    def shared_memory(self, value: Any) -> int | None:
        if value is None:
            return None
        try:
            return memory_mib(value)
        except InvalidQuantityError as error:
            self._add("shared_memory", value, error.why, error.fix)
            return None

    def ulimits(self, value: object) -> tuple[Ulimit, ...]:
        if value is None:
            return ()
        if not isinstance(value, Mapping):
            why = f"ulimits must be a mapping of names to limits, got {type(value).__name__}"
            self._add("ulimits", value, why, 'write for example ulimits={"nofile": 65536}')
            return ()
        read = [self._ulimit(name, limit) for name, limit in value.items()]
        return tuple(sorted((each for each in read if each is not None), key=lambda u: u.name))

    def _ulimit(self, name: object, limit: object) -> Ulimit | None:
        if name not in _ULIMITS:
            why = f"{name!r} is not a ulimit: they are {', '.join(_ULIMITS)}"
            fix = did_you_mean(str(name), _ULIMITS, "write one of these names")
            self._add("ulimits", {name: limit}, why, fix)
            return None
        limits = limit if isinstance(limit, tuple | list) else (limit, limit)
        if len(limits) != 2 or not all(_is_integer(each) and each >= -1 for each in limits):
            why = (
                f"the limit {name!r} must be an integer from 0, or -1 for no limit, or two of them"
            )
            self._add(
                "ulimits",
                {name: limit},
                why,
                f'write {{"{name}": 1024}} or {{"{name}": (512, 1024)}}',
            )
            return None
        soft, hard = limits
        if hard != -1 and (soft == -1 or soft > hard):
            why = f"the soft limit {soft} is above the hard limit {hard}"
            self._add("ulimits", {name: limit}, why, "write (soft, hard), with soft at most hard")
            return None
        return Ulimit(str(name), soft, hard)

    def mounts(self, value: Any) -> tuple[Mount, ...]:
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            why = f"mounts must be a list, got {type(value).__name__}"
            self._add(
                "mounts", value, why, 'write for example mounts=[EFS("fs-0123456789abcdef0")]'
            )
            return ()
        mounts: dict[str, Mount] = {}
        for declared in value:
            faults = list(mount_faults(declared))
            for fault in faults:
                self._add("mounts", [declared], fault, "correct it in mounts=[EFS(…), FSx(…)]")
            if faults:
                continue
            mount = as_mount(declared)
            if mount.at in mounts:
                why = f"{mount} and {mounts[mount.at]} are both mounted at {mount.at}"
                self._add(
                    "mounts", [declared], why, "mount one of them at another folder, with at="
                )
            mounts[mount.at] = mount
        return tuple(mounts[at] for at in sorted(mounts))

    def _add(self, name: str, value: object, why: str, fix: str) -> None:
        what = f"Step {self._step!r}: Invalid argument {name}={shortened(value)}"
        self.problems.append(InvalidStepError(what, why, fix))


def _is_image(text: str) -> bool:
    return 0 < len(text) <= 255 and text.isprintable() and " " not in text


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _contradiction(step: str, names: list[str]) -> InvalidStepError:
    return InvalidStepError(
        what=f"Step {step!r}: job_definition together with {', '.join(names)}",
        why="a job definition contains them already, and a submission can't override them",
        fix="omit them, and add them to the job definition; or omit job_definition",
    )
