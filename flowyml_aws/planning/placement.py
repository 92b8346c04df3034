"""Placement: the service of each step group."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.planning.services import SERVICES, service_traits

__all__ = ["REST", "Origin", "Placement"]

REST = "*"
"""Key for every group that is not named."""

Origin = Literal["argument", "setting", "default"]
"""Source of a placement."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The service of each step group.

    Attributes:
        rest: Service of the groups that are not named, or None if all are named.
        named: Service by group, or by step without a group.
        origin: Source of the placement.
    """

    rest: str | None
    named: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = "argument"

    def __post_init__(self) -> None:
        for service in (*filter(None, [self.rest]), *self.named.values()):
            if service not in SERVICES:
                raise _unknown_service(service)
        if not self.backends:
            raise SettingsError(
                what="No backend is named",
                why="the mapping of groups to backends is empty",
                fix='write backend="batch"',
            )
        titles = {traits.host: traits.title for traits in map(service_traits, self.backends)}
        if len(titles) > 1:
            raise SettingsError(
                what=f"Jobs can't be mixed on {' and '.join(titles.values())}",
                why="they share no store, so no job can read a value of the other service's jobs",
                fix="run all groups on this machine, or all of them on AWS",
            )

    @classmethod
    def of(cls, spec: str | Mapping[str, str], origin: Origin = "argument") -> Placement:
        """Return the placement that a user wrote.

        Raises:
            SettingsError: A service does not exist, or the services can't be mixed.
        """
        if isinstance(spec, str):
            return cls(spec, origin=origin)
        return cls(spec.get(REST), {key: spec[key] for key in spec if key != REST}, origin)

    @property
    def backends(self) -> tuple[str, ...]:
        """All services that it names, sorted."""
        return tuple(sorted({*filter(None, [self.rest]), *self.named.values()}))

    @property
    def name(self) -> str:
        """All services as text for people and records: `sagemaker`, `batch+sagemaker`."""
        return "+".join(self.backends)

    @property
    def host(self) -> str:
        """Host that all its services share: `machine` or `account`."""
        return service_traits(self.backends[0]).host

    @property
    def is_in_place(self) -> bool:
        """True if all jobs run in the project's own folder."""
        return not any(service_traits(name).needs_bundle for name in self.backends)

    def backend_of(self, group: StepGroup) -> str:
        """Return the service of a group. A part of a split group may be named, or the group."""
        declared = group.steps[0].declared_name
        for name in (group.group_name, group.execution_group, declared):
            if name is not None and name in self.named:
                return self.named[name]
        # `problems` has reported groups without a service.
        return self.rest or self.backends[0]

    def problems(self, groups: Sequence[StepGroup]) -> list[FlowymlError]:
        """Return the mistakes for a pipeline: unknown names, and groups without a service."""
        names = {name for g in groups for name in (g.group_name, g.execution_group) if name}
        inside = {step.name: g.execution_group for g in groups for step in g.steps}
        problems: list[FlowymlError] = [
            _unknown_name(name, names, inside) for name in self.named if name not in names
        ]
        if self.rest is None and not problems:
            missing = list(_unplaced(groups, self.named))
            if missing:
                problems.append(
                    SettingsError(
                        what=f"No backend is named for {', '.join(map(repr, missing))}",
                        why="a mapping of groups to backends covers every job",
                        fix=f'add "{REST}": "batch" for all groups that it does not name',
                    )
                )
        return problems


def _unplaced(groups: Sequence[StepGroup], named: Collection[str]) -> Iterator[str]:
    for group in groups:
        if not {group.group_name, group.execution_group}.intersection(named):
            yield group.group_name


def _unknown_service(name: str) -> SettingsError:
    return SettingsError(
        what=f"Unknown backend {name!r}",
        why=f"the backends are {', '.join(SERVICES)}",
        fix=did_you_mean(name, SERVICES, 'write backend="batch"'),
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
        what=f"No group or single step {name!r} to choose a backend for",
        why=f"the groups and single steps are {', '.join(sorted(names))}",
        fix=did_you_mean(name, names, "name one of them"),
    )
