"""Which backend each group's job goes to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.step_grouping import StepGroup

__all__ = ["BACKENDS", "BATCH", "LOCAL", "REST", "SAGEMAKER", "Placement", "backends_in"]

LOCAL, BATCH, SAGEMAKER = "local", "batch", "sagemaker"
BACKENDS = (LOCAL, BATCH, SAGEMAKER)
REST = "*"
"""Stands for every group that is not named."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Which backend each group's job goes to.

    Attributes:
        rest: Of the groups that are not named; None where each is.
        named: Group, or step without a group → backend.
    """

    rest: str | None
    named: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for backend in (*filter(None, [self.rest]), *self.named.values()):
            if backend not in BACKENDS:
                raise _unknown_backend(backend)
        if len(self.backends) > 1 and LOCAL in self.backends:
            raise SettingsError(
                what="Jobs on this machine can't be mixed with jobs on AWS",
                why="their values lie in a folder here, which no job on AWS can reach",
                fix="run all of them locally, or none",
            )
        if not self.backends:
            raise SettingsError(
                what="No backend is named",
                why="the mapping of groups to backends is empty",
                fix=f"write backend={BATCH!r}",
            )

    @classmethod
    def of(cls, asked: str | Mapping[str, str]) -> Placement:
        """What a user asked for: a backend, or a mapping such as `{"training": "sagemaker"}`.

        Raises:
            SettingsError: There is no such backend, or they can't be mixed.
        """
        if isinstance(asked, str):
            return cls(asked)
        return cls(asked.get(REST), {key: asked[key] for key in asked if key != REST})

    @property
    def backends(self) -> tuple[str, ...]:
        """All that it names, sorted."""
        return tuple(sorted({*filter(None, [self.rest]), *self.named.values()}))

    @property
    def name(self) -> str:
        """As records and plans tell it: `sagemaker`, `batch+sagemaker`."""
        return "+".join(self.backends)

    def backend_of(self, group: StepGroup) -> str:
        """Where a group's job goes. A part of a split group is named, or the whole group."""
        for name in (group.group_name, group.execution_group):
            if name is not None and name in self.named:
                return self.named[name]
        # `problems` has refused what is placed nowhere.
        return self.rest or self.backends[0]

    def problems(self, groups: Sequence[StepGroup]) -> list[FlowymlError]:
        """What is wrong with it for a pipeline: unknown names, and groups that go nowhere."""
        names = {name for g in groups for name in (g.group_name, g.execution_group) if name}
        inside = {step.name: g.execution_group for g in groups for step in g.steps}
        found: list[FlowymlError] = [
            _unknown_name(name, names, inside) for name in self.named if name not in names
        ]
        if self.rest is None and not found:
            left = list(_left(groups, self.named))
            if left:
                found.append(
                    SettingsError(
                        what=f"No backend is named for {', '.join(map(repr, left))}",
                        why="a mapping of groups to backends covers every job",
                        fix=f'add "{REST}": "{BATCH}" for all that it does not name',
                    )
                )
        return found


def backends_in(name: str) -> tuple[str, ...]:
    """The backends of a `Placement.name`.

    Raises:
        SettingsError: There is no such backend.
    """
    parts = tuple(name.split("+"))
    for part in parts:
        if part not in BACKENDS:
            raise _unknown_backend(part)
    return parts


def _left(groups: Sequence[StepGroup], named: Collection[str]) -> Iterator[str]:
    for group in groups:
        if not {group.group_name, group.execution_group}.intersection(named):
            yield group.group_name


def _unknown_backend(name: str) -> SettingsError:
    return SettingsError(
        what=f"Unknown backend {name!r}",
        why=f"the backends are {', '.join(BACKENDS)}",
        fix=did_you_mean(name, BACKENDS, f"write backend={BATCH!r}"),
    )


def _unknown_name(
    name: str, names: Collection[str], inside: Mapping[str, str | None]
) -> SettingsError:
    if (group := inside.get(name)) is not None:
        return SettingsError(
            what=f"Step {name!r} can't have a backend of its own",
            why=f"it runs in group {group!r}, and a group is one job",
            fix=f"name the group: {group!r}",
        )
    return SettingsError(
        what=f"There is no group or single step {name!r} to choose a backend for",
        why=f"there are {', '.join(sorted(names))}",
        fix=did_you_mean(name, names, "name one of them"),
    )
