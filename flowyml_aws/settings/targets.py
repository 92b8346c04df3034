"""Targets as the settings describe them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from flowyml_aws.catalog.families import available_types, expand_families
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.written import shortened
from flowyml_aws.planning.services import service_traits, services_with_instances
from flowyml_aws.planning.targets import Taint, Target, TypePool, read_taint

__all__ = ["TargetSettings", "as_target", "read_targets", "settings_of_service"]


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """Description of a target in the settings.

    Attributes:
        name: Name of the queue, or any name for SageMaker.
        kind: Service of the target: `batch` or `sagemaker`.
        instance_types: Types or families. For a queue of the account, the account provides them.
        labels: Labels in addition to those that every node has.
        max_vcpus: Limit for all its instances together.
    """

    name: str
    kind: str = "batch"
    instance_types: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    capacity: Literal["on-demand", "spot"] = "on-demand"
    max_vcpus: int | None = None


def settings_of_service(
    service: str, targets: Iterable[TargetSettings]
) -> tuple[TargetSettings, ...]:
    """Return the described targets of one service."""
    return tuple(target for target in targets if target.kind == service)


def as_target(settings: TargetSettings, catalog: Catalog) -> Target:
    """Return the target that the settings alone describe, without an account."""
    names = dict.fromkeys(expand_families(settings.instance_types, catalog), settings.max_vcpus)
    types, closed = available_types(names, [t.name for t in catalog.types if t.offered], catalog)
    return Target(
        name=settings.name,
        kind=settings.kind,
        instance_types=types,
        labels=dict(settings.labels),
        taints=settings.taints,
        capacity=settings.capacity,
        placed_by=service_traits(settings.kind).placed_by,
        closed=closed,
        pools=(TypePool((*types, *_too_large(closed, catalog)), settings.max_vcpus),),
    )


def _too_large(closed: Mapping[str, str], catalog: Catalog) -> Iterator[str]:
    """Yield the types that the region offers, but that exceed the target's limit."""
    for name in closed:
        if (instance := catalog.get(name)) is not None and instance.offered:
            yield name


def read_targets(value: Any, where: str) -> tuple[TargetSettings, ...]:
    """Parse targets from a list of mappings.

    Raises:
        SettingsError: A key is unknown, a value malformed, or a name missing or duplicated. The
            error names the location.
    """
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise _malformed(value, where, "a list of mappings ([[targets]])")
    targets: dict[str, TargetSettings] = {}
    for number, entry in enumerate(value, 1):
        target = _read_target(entry, f"{where}, number {number}")
        if target.name in targets:
            raise SettingsError(
                what=f"Duplicate target {target.name!r} in {where}",
                why="a target has one description",
                fix="merge both descriptions",
            )
        targets[target.name] = target
    return tuple(targets.values())


def _read_target(entry: Mapping[str, Any], where: str) -> TargetSettings:
    known = [f.name for f in fields(TargetSettings)]
    for key in entry:
        if key not in known:
            raise SettingsError(
                what=f"Unknown key {key!r} in {where}",
                why=f"a target has the keys {', '.join(known)}",
                fix=did_you_mean(key, known, "remove it"),
            )
    name, labels = entry.get("name"), entry.get("labels", {})
    if not isinstance(name, str) or not name:
        raise _malformed(name, f"name of {where}", "a string: the name of the queue")
    if not isinstance(labels, dict) or not all(isinstance(v, str) for v in labels.values()):
        raise _malformed(labels, f"labels of {where}", "a mapping of strings")
    max_vcpus = entry.get("max_vcpus")
    if max_vcpus is not None and (type(max_vcpus) is not int or max_vcpus < 1):
        raise _malformed(max_vcpus, f"max_vcpus of {where}", "an integer above 0")
    return TargetSettings(
        name=name,
        kind=_choice(entry, "kind", services_with_instances(), where),
        instance_types=_strings(entry, "instance_types", where),
        labels=labels,
        taints=tuple(_taint(text, where) for text in _strings(entry, "taints", where)),
        capacity=_choice(entry, "capacity", ("on-demand", "spot"), where),
        max_vcpus=max_vcpus,
    )


def _choice(entry: Mapping[str, Any], key: str, values: tuple[str, ...], where: str) -> Any:
    """Return the value of a key, which is one of several; the first one is the default."""
    value = entry.get(key, values[0])
    if value not in values:
        raise _malformed(value, f"{key} of {where}", " or ".join(map(repr, values)))
    return value


def _strings(entry: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = entry.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _malformed(value, f"{key} of {where}", "a list of strings")
    return tuple(value)


def _taint(spec: str, where: str) -> Taint:
    key, _, effect = spec.partition("=") if "=" in spec else spec.partition(":")
    taint = read_taint(key, effect)
    if taint is None or not key:
        expected = "a string such as night=yes:NoSchedule or night:NoSchedule"
        raise _malformed(spec, f"a taint of {where}", expected)
    return taint


def _malformed(value: Any, where: str, expected: str) -> SettingsError:
    return SettingsError(
        what=f"Invalid {where}: {shortened(value)}", why=f"it must be {expected}", fix="correct it"
    )
