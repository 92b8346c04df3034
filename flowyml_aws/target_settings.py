"""Targets as the configuration describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.families import expanded, given
from flowyml_aws.planning.targets import Taint, Target, read_taint

__all__ = ["TargetSettings", "as_target", "read_targets"]


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """What the configuration says of a target.

    Attributes:
        name: The queue's, or any name for SageMaker.
        instance_types: Types or families; of a queue of the account, the account tells them.
        labels: Beyond those that every node has.
        max_vcpus: Of all its instances together.
    """

    name: str
    kind: Literal["batch", "sagemaker"] = "batch"
    instance_types: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    capacity: Literal["on-demand", "spot"] = "on-demand"
    max_vcpus: int | None = None


def as_target(told: TargetSettings, catalog: Catalog) -> Target:
    """The target by what the configuration alone says, without an account."""
    names = dict.fromkeys(expanded(told.instance_types, catalog), told.max_vcpus)
    types, closed = given(names, [t.name for t in catalog.types if t.offered], catalog)
    return Target(
        name=told.name,
        kind=told.kind,
        instance_types=types,
        labels=dict(told.labels),
        taints=told.taints,
        capacity=told.capacity,
        placed_by="queue" if told.kind == "batch" else "plan",
        closed=closed,
    )


def read_targets(value: Any, where: str) -> tuple[TargetSettings, ...]:
    """Targets from a list of tables.

    Raises:
        SettingsError: A key is unknown, a value malformed, a name used twice or missing; the
            error says where.
    """
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise _malformed(value, where, "a list of tables ([[targets]])")
    found: dict[str, TargetSettings] = {}
    for number, table in enumerate(value, 1):
        told = _read(table, f"{where}, number {number}")
        if told.name in found:
            raise SettingsError(
                what=f"Target {told.name!r} stands twice in {where}",
                why="a target has one description",
                fix="put both into one table",
            )
        found[told.name] = told
    return tuple(found.values())


def _read(table: Mapping[str, Any], where: str) -> TargetSettings:
    known = [f.name for f in fields(TargetSettings)]
    for key in table:
        if key not in known:
            raise SettingsError(
                what=f"Unknown key {key!r} in {where}",
                why=f"a target has {', '.join(known)}",
                fix=did_you_mean(key, known, "remove it"),
            )
    name, labels = table.get("name"), table.get("labels", {})
    if not isinstance(name, str) or not name:
        raise _malformed(name, f"name of {where}", "a text: the queue's name")
    if not isinstance(labels, dict) or not all(isinstance(v, str) for v in labels.values()):
        raise _malformed(labels, f"labels of {where}", "a table of texts")
    most = table.get("max_vcpus")
    if most is not None and (type(most) is not int or most < 1):
        raise _malformed(most, f"max_vcpus of {where}", "a whole number above 0")
    return TargetSettings(
        name=name,
        kind=_one_of(table, "kind", ("batch", "sagemaker"), where),
        instance_types=_texts(table, "instance_types", where),
        labels=labels,
        taints=tuple(_taint(text, where) for text in _texts(table, "taints", where)),
        capacity=_one_of(table, "capacity", ("on-demand", "spot"), where),
        max_vcpus=most,
    )


def _one_of(table: Mapping[str, Any], key: str, values: tuple[str, ...], where: str) -> Any:
    value = table.get(key, values[0])
    if value not in values:
        raise _malformed(value, f"{key} of {where}", " or ".join(map(repr, values)))
    return value


def _texts(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise _malformed(value, f"{key} of {where}", "a list of texts")
    return tuple(value)


def _taint(text: str, where: str) -> Taint:
    key, _, told = text.partition("=") if "=" in text else text.partition(":")
    taint = read_taint(key, told)
    if taint is None or not key:
        expected = "a text such as night=yes:NoSchedule or night:NoSchedule"
        raise _malformed(text, f"a taint of {where}", expected)
    return taint


def _malformed(value: Any, where: str, expected: str) -> SettingsError:
    return SettingsError(
        what=f"The {where} is {value!r}", why=f"it must be {expected}", fix="correct it"
    )
