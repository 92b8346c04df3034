"""Terminal output of the values of a run, and of its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.padding import Padding
from rich.text import Text

from flowyml_aws.artifacts.list_index import LIST_INDEX
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.client.run import StoredList, StoredOutput
from flowyml_aws.client.savings import Savings
from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.core.maps import short_names
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.wording import time_text
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.missing_output import MissingOutput
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus
from flowyml_aws.submission.whole_status import with_sub_runs
from flowyml_aws.view.fitted import Column, FittedTable
from flowyml_aws.view.terminal import program

__all__ = ["MAX_OUTPUTS", "ending", "outputs_table"]

MAX_OUTPUTS = 10
"""Outputs that the end of a run shows."""

_MAX_NAMES = 5
_KINDS = {
    "bytes": "bytes",
    "directory": "folder",
    "executable": "executable file",
    "file": "file",
    "items": "list",
    "json": "JSON",
    "numpy": "array",
    "numpy-scalar": "number",
    "pandas": "data frame",
    "pickle": "object",
    "pickle-with-files": "object with files",
    "polars": "data frame",
    "sklearn": "model",
    "text": "string",
    "torch": "tensors",
    "xgboost": "model",
}


def outputs_table(
    outputs: Sequence[StoredOutput | StoredList], missing: Sequence[MissingOutput] = ()
) -> RenderableType:
    """Return a table of the outputs that can be loaded, and a line on each kind of the others."""
    table = FittedTable(
        (
            Column("asset"),
            Column("step", rank=1),
            Column("kind"),
            Column("size", is_number=True),
            Column("codec", rank=2),
        )
    )
    for output in outputs:
        if isinstance(output, StoredOutput):
            ref, size_bytes, kind = output.ref, output.ref.size_bytes, _kind(output.ref)
        else:
            ref, size_bytes, kind = output.first, output.size_bytes, _kind_of_list(output)
        table.add_row(*map(Text, (output.asset, output.step, kind, decimal(size_bytes), ref.codec)))
    lines = [Text(line, style="yellow") for line in _missing_lines(missing)]
    return Group(*([table] if outputs else []), *lines)


def ending(
    status: RunStatus,
    plan: ExecutionPlan,
    outputs: Sequence[StoredOutput | StoredList],
    total: int,
    savings: Savings | None,
) -> RenderableType:
    """Return the outputs of a run that has ended, its cost, and the next commands.

    Args:
        status: Status of the run.
        plan: Its plan.
        outputs: Last stored outputs, in plan order.
        total: Number of all stored outputs.
        savings: Time that outputs of earlier runs have saved, if any.
    """
    status = with_sub_runs(status)
    parts: list[RenderableType] = []
    if outputs:
        parts.append(Padding(outputs_table(outputs), (0, 0, 0, 2), expand=False))
    if total > len(outputs):
        parts.append(Text(f"  and {counted(total - len(outputs), 'earlier output')}"))
    parts += (Text(line) for line in (*_cost(status, plan), *_saved(savings)))
    parts.append(Text("next:"))
    parts += (Text(f"  {program()} {command}") for command in _commands(status, outputs, total))
    return Group(*parts)


def _kind(ref: ArtifactRef) -> str:
    name = ref.codec.partition("/")[0]
    return _KINDS.get(name, name)


def _kind_of_list(output: StoredList) -> str:
    missing = "" if output.stored == output.items else f" of {output.items:,}"
    if output.first.codec == LIST_INDEX:
        return f"list, {output.stored:,}{missing} {'part' if output.items == 1 else 'parts'}"
    return f"list, {output.stored:,}{missing} × {_kind(output.first)}"


def _missing_lines(missing: Iterable[MissingOutput]) -> Iterator[str]:
    by_state: dict[str, list[str]] = {}
    for each in missing:
        by_state.setdefault(each.state, []).append(each.asset)
    for state, names in by_state.items():
        assets = short_names(names)
        more = f" and {len(assets) - _MAX_NAMES} more" if assets[_MAX_NAMES:] else ""
        yield f"{state}: {', '.join(assets[:_MAX_NAMES])}{more}"


def _cost(status: RunStatus, plan: ExecutionPlan) -> Iterator[str]:
    if not plan.is_priced or not plan.jobs:
        return
    jobs_usd, lost_usd = status.cost_usd, status.lost_attempts.cost_usd
    cost = "unknown" if jobs_usd is None else f"{usd(jobs_usd + lost_usd)} without starts"
    estimate = None if plan.dynamic else plan.estimate  # without the pipelines of dynamic steps
    expected_usd = None if estimate is None else estimate.cost_usd
    expected = "" if expected_usd is None else f", {plan.expected_label} {usd(expected_usd)}"
    yield f"cost: {cost}{expected}"


def _saved(savings: Savings | None) -> Iterator[str]:
    if savings is None:
        return
    steps = counted(savings.steps, "step")
    if not savings.known:
        yield f"cached: {steps}"
        return
    which = "" if savings.known == savings.steps else f"{savings.known} of them "
    yield f"cached: {steps}; {which}took {time_text(savings.seconds)} in earlier runs"


def _commands(
    status: RunStatus, outputs: Sequence[StoredOutput | StoredList], total: int
) -> Iterator[str]:
    failed = [view.job.name for view in status.jobs if view.state is JobState.FAILED]
    if failed:
        # A dynamic step fails with a job of its pipeline, whose log says more.
        inner = (name for name in failed if not any(n.startswith(f"{name}/") for n in failed))
        yield f"logs {status.run_id} {next(inner)}"
    if status.state in (RunState.FAILED, RunState.CANCELLED):
        yield f"resume {status.run_id}"
    steps = (name for name, each in status.steps.items() if each.state is StepState.FAILED)
    if (step := next(steps, None)) is not None:
        yield f"replay {status.run_id} {step}"
    if outputs:
        yield f"get {status.run_id}{'' if total > len(outputs) else f' {outputs[-1].asset}'}"
    if not failed and not outputs:
        yield f"status {status.run_id}"
