"""Comparison of two runs: parameters, code, packages, inputs, metrics, times and costs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.caching.labels import AFTER
from flowyml_aws.caching.run_keys import RunKeys, StepKey, read_keys
from flowyml_aws.core.amounts import usd
from flowyml_aws.core.shared_assets import shared_name
from flowyml_aws.core.sheets import Sheet, ShownAsSheets
from flowyml_aws.core.visible import visible
from flowyml_aws.planning.wording import time_text
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.compared_maps import (
    fold_items,
    joined_digest,
    joined_number,
    joined_range,
    joined_text,
)
from flowyml_aws.submission.logged import RunLogged
from flowyml_aws.submission.missing_output import produced_assets
from flowyml_aws.submission.refs import RunRefs
from flowyml_aws.submission.reports import JobReports
from flowyml_aws.submission.status import RunStatus
from flowyml_aws.submission.whole_status import with_sub_runs

__all__ = [
    "KIND_TITLES",
    "ComparedRun",
    "ComparedValue",
    "Comparison",
    "Kind",
    "compare",
    "facts_of",
    "with_sub_facts",
]

Value = str | float | None

_SAME_SHARE = 0.1  # times and costs that differ by less are equal: no two runs take the same time
_SAME_S = 1.0
_SAME_USD = 0.0001
_DIGITS = 8  # of a digest


class Kind(str, Enum):
    """Kind of a compared value."""

    PARAMETER = "parameter"
    CODE = "code"
    PACKAGE = "package"
    ENVIRONMENT = "environment"
    INPUT = "input"
    OUTPUT = "output"
    METRIC = "metric"
    STATE = "state"
    MACHINE = "machine"
    TIME = "time"
    COST = "cost"


KIND_TITLES = {
    Kind.PARAMETER: "parameters",
    Kind.CODE: "code",
    Kind.PACKAGE: "packages",
    Kind.ENVIRONMENT: "environment",
    Kind.INPUT: "inputs",
    Kind.OUTPUT: "outputs",
    Kind.METRIC: "metrics",
    Kind.STATE: "steps",
    Kind.MACHINE: "machines",
    Kind.TIME: "time",
    Kind.COST: "cost",
}
"""Title of the table of each kind, in the order of the tables."""
_DIGESTS = {Kind.CODE, Kind.ENVIRONMENT, Kind.INPUT, Kind.OUTPUT}
_NUMBERS = {Kind.METRIC, Kind.TIME, Kind.COST}

Key = tuple[Kind, str | None, str]  # kind, step, name


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """The facts of a run that are compared.

    Attributes:
        state: State of the run.
        duration_s: Seconds from its creation to its end; None while it is running.
        cost_usd: Cost of its jobs without their start; None if it is unknown.
        values: Values by kind, step (None if it belongs to no step) and name.
    """

    run_id: str
    pipeline: str
    backend: str
    state: str
    duration_s: float | None
    cost_usd: float | None
    values: Mapping[Key, Value] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """A value in both runs.

    Attributes:
        step: Step that it belongs to, or None.
        name: Name of the parameter, function, package, asset or metric; empty for facts of steps.
        first, second: Value in each run: a string, or a number for metrics, seconds and USD. None
            if the run does not have it.
    """

    kind: Kind
    step: str | None
    name: str
    first: Value
    second: Value

    @property
    def is_different(self) -> bool:
        """True if the values differ; times and costs by more than 10 %.

        If only one of the runs has executed a step, its state differs, and nothing else counts.
        """
        first, second = self.first, self.second
        if self.kind is Kind.MACHINE and None in (first, second):
            return False
        if self.kind in (Kind.TIME, Kind.COST):
            if not isinstance(first, float) or not isinstance(second, float):
                return False
            least = _SAME_S if self.kind is Kind.TIME else _SAME_USD
            return abs(first - second) > max(least, _SAME_SHARE * max(first, second))
        return first != second

    @property
    def change(self) -> str:
        """The change in words or percent."""
        if not self.is_different:
            return ""
        if self.first is None:
            return "only in B"
        if self.second is None:
            return "only in A"
        if isinstance(self.first, float) and isinstance(self.second, float) and self.first:
            return f"{100 * (self.second - self.first) / abs(self.first):+,.1f} %"
        return "changed"


@dataclass(frozen=True, slots=True)
class Comparison(ShownAsSheets):
    """Two runs, and every value of at least one of them.

    Attributes:
        first, second: The runs. Tables call them A and B.
        values: Values in the order of kinds, steps and names.
        notes: Notes on what can't be compared.
    """

    first: ComparedRun
    second: ComparedRun
    values: tuple[ComparedValue, ...]
    notes: tuple[str, ...] = ()

    @property
    def differences(self) -> tuple[ComparedValue, ...]:
        """Values that differ."""
        return tuple(value for value in self.values if value.is_different)

    def sheets(self, everything: bool = False) -> list[Sheet]:
        """Return tables of the differences, or of all values."""
        values = self.values if everything else self.differences
        sheets = [self._runs()]
        for kind, title in KIND_TITLES.items():
            rows = [_row(value) for value in values if value.kind is kind]
            if rows:
                numbers = frozenset({1, 2, 3} if kind in _NUMBERS else ())
                sheets.append(Sheet(title, ("", "A", "B", "change"), rows, numbers))
        nothing = () if values else ("no differences",)
        return [*sheets, Sheet("", lines=(*nothing, *self.notes))]

    def _runs(self) -> Sheet:
        rows = [
            (
                label,
                run.run_id,
                run.backend,
                run.state,
                "" if run.duration_s is None else time_text(run.duration_s),
                "" if run.cost_usd is None else usd(run.cost_usd),
            )
            for label, run in (("A", self.first), ("B", self.second))
        ]
        return Sheet("", ("", "run", "backend", "state", "time", "cost"), rows, frozenset({4, 5}))

    def __str__(self) -> str:
        lines = [f"A {self.first.run_id}", f"B {self.second.run_id}"]
        for value in self.differences:
            name, first, second, change = _row(value)
            lines.append(f"{value.kind.value} {name}: {first} → {second} ({change})")
        return visible("\n".join([*lines, *self.notes]))

    def _sheets(self) -> list[Sheet]:
        return self.sheets()


def facts_of(store: ArtifactStore, status: RunStatus, reports: JobReports) -> ComparedRun:
    """Return the facts of a run that are compared.

    Args:
        store: Store of the run.
        status: Status of the run.
        reports: Reports of its jobs.
    """
    keys = read_keys(store, status.run_id) or RunKeys(forced=(), steps={})
    values: dict[Key, Value] = {}
    produced = {asset: s for s, assets in produced_assets(status).items() for asset in assets}
    values.update(_of_keys(keys, produced))
    refs = RunRefs(status, reports).read()
    outputs = {shared_name(a, produced.get(a, "")) or a: ref.identity for a, ref in refs.items()}
    for asset, identity in fold_items(outputs, status.maps, joined_digest).items():
        values[Kind.OUTPUT, None, asset] = identity
    values.update(_of_metrics(RunLogged(store, status).metrics, status))
    values.update(_of_steps(status))
    return ComparedRun(
        run_id=status.run_id,
        pipeline=status.pipeline,
        backend=status.backend,
        state=status.state.value,
        duration_s=None if status.ended_at is None else status.ended_at - status.created_at,
        cost_usd=with_sub_runs(status).cost_usd,
        values=values,
    )


def with_sub_facts(run: ComparedRun, sub_runs: Mapping[str, ComparedRun]) -> ComparedRun:
    """Return the facts of a run with those of its sub-runs, whose steps are `search/train`.

    What concerns all steps of a sub-run is a fact of its dynamic step.

    Args:
        run: Facts of the run alone.
        sub_runs: Facts of each sub-run, with its own sub-runs, by dynamic step.
    """
    values = dict(run.values)
    for path, sub_run in sub_runs.items():
        for (kind, step, name), value in sub_run.values.items():
            if kind is Kind.OUTPUT:
                values[kind, None, f"{path}/{name}"] = value
            else:
                values[kind, path if step is None else f"{path}/{step}", name] = value
    return replace(run, values=values)


def compare(first: ComparedRun, second: ComparedRun) -> Comparison:
    """Compare two runs."""
    kinds = list(Kind)
    steps = _steps_in_order(first.values, second.values)
    keys = sorted(
        first.values.keys() | second.values.keys(),
        key=lambda key: (kinds.index(key[0]), steps.get(key[1], -1), key[2]),
    )
    values = (ComparedValue(*key, first.values.get(key), second.values.get(key)) for key in keys)
    return Comparison(first, second, tuple(values), tuple(_notes(first, second)))


def _of_keys(keys: RunKeys, produced: Collection[str]) -> Iterator[tuple[Key, Value]]:
    by_step: dict[tuple[Kind, str], dict[str, Value]] = {}
    for step, key in keys.steps.items():
        for kind, name, value in _of_key(key, produced):
            by_step.setdefault((kind, name), {})[step] = value
    for (kind, name), values in by_step.items():
        if kind is Kind.PARAMETER and name in keys.parameters:
            continue  # readable, instead of its digest
        if len(set(values.values())) == 1:
            yield (kind, None, name), next(iter(values.values()))
        else:
            yield from (((kind, step, name), value) for step, value in values.items())
    for name, text in keys.parameters.items():
        yield (Kind.PARAMETER, None, name), text


def _of_key(key: StepKey, produced: Collection[str]) -> Iterator[tuple[Kind, str, Value]]:
    for name, digest in key.context.items():
        yield Kind.PARAMETER, name, f"digest {digest[:_DIGITS]}"
    for name, digest in key.code.items():
        yield Kind.CODE, name, digest
    if key.returned is not None:
        yield Kind.CODE, "value of cache=", key.returned
    for name, version in key.versions.items():
        yield Kind.PACKAGE, name, version
    for name, digest in (*key.environment.items(), *key.additions.items()):
        yield Kind.ENVIRONMENT, name, digest
    for asset, identity in key.assets.items():
        if asset not in produced and not asset.startswith(AFTER):
            yield Kind.INPUT, asset, identity


def _of_metrics(
    metrics: Mapping[str, Mapping[str, float]], status: RunStatus
) -> Iterator[tuple[Key, Value]]:
    by_name: dict[str, dict[str, float | str]] = {}
    for step, values in metrics.items():
        for name, value in values.items():
            by_name.setdefault(name, {})[step] = value
    for name, of_steps in by_name.items():
        for step, last in fold_items(of_steps, status.maps, joined_range).items():
            yield (Kind.METRIC, step, name), last


def _of_steps(status: RunStatus) -> Iterator[tuple[Key, Value]]:
    progress = status.progress
    states = {name: report.state.value for name, report in status.steps.items()}
    for name, state in fold_items(states, status.maps, joined_text).items():
        yield (Kind.STATE, name, ""), progress[name].text if name in progress else state
    machines: dict[str, str] = {}
    times: dict[str, float] = {}
    costs: dict[str, float] = {}
    for view in status.jobs:
        offer = view.ran_on or next(iter(view.job.offers), None)
        for report in view.steps:
            if view.machines is not None and report.started_at is not None:
                machines[report.name] = view.machines
            if report.state not in (StepState.SUCCEEDED, StepState.FAILED):
                continue
            times[report.name] = report.duration_s
            if offer is not None and offer.price_usd_hour is not None:
                costs[report.name] = offer.price_usd_hour * report.duration_s / 3600
    for name, text in fold_items(machines, status.maps, joined_text).items():
        yield (Kind.MACHINE, name, ""), text
    for kind, numbers in ((Kind.TIME, times), (Kind.COST, costs)):
        for name, number in fold_items(numbers, status.maps, joined_number).items():
            yield (kind, name, ""), number


def _steps_in_order(*runs: Iterable[Key]) -> dict[str | None, int]:
    names = [step for keys in runs for kind, step, _ in keys if kind is Kind.STATE]
    return {step: number for number, step in enumerate(dict.fromkeys(names))}


def _notes(first: ComparedRun, second: ComparedRun) -> Iterator[str]:
    if first.pipeline != second.pipeline:
        yield f"the runs are of different pipelines: {first.pipeline} and {second.pipeline}"
    for label, run in (("A", first), ("B", second)):
        if not any(kind is Kind.CODE for kind, _, _ in run.values):
            yield f"the code of {label} was not recorded: none of its steps can be cached"


def _row(value: ComparedValue) -> tuple[str, str, str, str]:
    name = f"{value.step}  {value.name}" if value.step and value.name else value.step or value.name
    return name, _text(value, value.first), _text(value, value.second), value.change


def _text(compared: ComparedValue, value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value[:_DIGITS] if compared.kind in _DIGESTS else value
    if compared.kind is Kind.TIME:
        return time_text(value)
    return usd(value) if compared.kind is Kind.COST else f"{value:.6g}"
