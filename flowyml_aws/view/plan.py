"""Terminal output of a plan: jobs with their instance types, cost and order."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.core.maps import declared_name, members_text, short_names
from flowyml_aws.planning.cost_shares import attempt_limit_s, ends_at_share
from flowyml_aws.planning.job_rows import JobRow, job_names_text, job_rows, rows_by_job
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob, PlannedMap, Variant
from flowyml_aws.planning.wording import time_text
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.moves import machine_after
from flowyml_aws.view.instances import price_text

__all__ = ["not_run_lines", "plan_table", "price_range"]

_MAX_NAMES = 5  # steps; the plan's JSON contains all of them

_MOVES = {
    Cause.OUT_OF_MEMORY: "if memory is used up",
    Cause.GPU_OUT_OF_MEMORY: "if GPU memory is used up",
    Cause.DISK_FULL: "if the disk is full",
    Cause.CAPACITY: "if it loses two hosts, or gets none",
}
_AMOUNTS = {
    "vcpus": "vCPUs",
    "memory_mib": "memory",
    "storage_gib": "disk",
    "gpu_count": "GPUs",
    "gpu_memory_gb": "GPU memory",
}
_ORIGINS = {
    "setting": "from the setting `backend`",
    "default": "the default; select another one with --backend, backend= or the setting `backend`",
}


def plan_table(plan: ExecutionPlan) -> RenderableType:
    """Return a table of jobs, their steps, order and assets, the expected cost, and the notes."""
    parts: list[RenderableType] = []
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for title, justify in (
        ("job", "left"),
        ("needs", "left"),
        ("instance type", "left"),
        ("per hour", "right"),
        ("target", "left"),
    ):
        table.add_column(title, justify=justify, no_wrap=title != "needs")  # type: ignore[arg-type]
    rows = job_rows(plan.jobs, _machine)
    for row in rows:
        job = row.first
        table.add_row(
            Text.assemble((row.title, "bold"), (", if taken" if job.held else "", "dim")),
            _needs(job.needs),
            job.machines or "",
            _price_of_row(row),
            job.target,
        )
    parts += [table, Text()] if plan.jobs else []
    if plan.reused:
        parts += [*not_run_lines(plan), Text()]
    of_job, origins = rows_by_job(rows), plan.origins
    for row in rows:
        parts.append(Text(row.title, style="bold"))
        lines = _details(row, plan, of_job, origins)
        parts += [Padding(line, (0, 0, 0, 2), expand=False) for line in lines]
    parts += _expected(plan)
    if plan.is_priced:
        total = plan.peak_usd_hour
        amount = usd(total) if total is not None else "unknown"
        basis = f"{plan.region}, prices from {plan.prices_of}"
        jobs = "all jobs that can run together" if plan.has_branches else "all jobs at once"
        parts += [Text(), Text(f"{jobs}: {amount} per hour ({basis})")]
    if (origin := _ORIGINS.get(plan.backend_origin)) is not None:
        parts += [Text(), Text(f"backend {plan.backend}: {origin}")]
    parts += [Text(f"note: {note}", style="yellow") for note in plan.notes]
    return Group(*parts)


def price_range(job: PlannedJob) -> str:
    """Format a job's price: `$0.526/h, at most $0.752/h (g4dn.2xlarge)`."""
    planned, highest = job.offers[0], job.highest
    if highest is None or highest == planned:
        return f"{_price(planned)}/h"
    return f"{_price(planned)}/h, at most {_price(highest)}/h ({highest.machines})"


def not_run_lines(plan: ExecutionPlan) -> Iterator[Text]:
    """Yield a line on the steps that are reused, and one for each cause of skipped steps."""
    skipped = plan.skipped
    if len(skipped) < len(plan.reused):
        yield _reused_line(plan, skipped)
    for cause in dict.fromkeys(skipped.values()):
        names = short_names(name for name in skipped if skipped[name] == cause)
        yield Text.assemble(("skipped: ", "dim"), f"{', '.join(names)} ({cause})")


def _reused_line(plan: ExecutionPlan, skipped: Collection[str]) -> Text:
    """Return a line with the reused steps, and the earlier runs of their assets."""
    names = _reused_names(plan, skipped)
    more = f" and {len(names) - _MAX_NAMES} more" if names[_MAX_NAMES:] else ""
    runs = sorted({step.run_id for step in plan.reused.values() if step.run_id})
    origin = f"run {runs[0]}" if len(runs) == 1 else f"{len(runs)} earlier runs"
    is_all = not plan.jobs and not skipped
    label = "all steps are cached, nothing to run" if is_all else "cached, not run"
    listed = ", ".join(names[:_MAX_NAMES])
    return Text.assemble((f"{label}: ", "green"), f"{listed}{more} (from {origin})")


def _reused_names(plan: ExecutionPlan, skipped: Collection[str]) -> list[str]:
    """Return the reused steps: of a map, the number of its items."""
    counts: dict[str, int] = {}
    for name in plan.reused:
        if name in skipped:
            continue
        declared = declared_name(name)
        key = declared if declared in plan.maps else name
        counts[key] = counts.get(key, 0) + 1
    return [
        f"{count:,} of {_members(plan.maps[name])} of {name}" if name in plan.maps else name
        for name, count in counts.items()
    ]


def _members(planned: PlannedMap) -> str:
    """Return the number of items of a map, or of its parts."""
    if planned.parts is not None:
        return counted(planned.parts, "part")
    return counted(planned.items, "item")


def _machine(job: PlannedJob) -> Hashable:
    return job.needs, job.backend, job.target, job.capacity, job.offers, job.volume_gib


def _price_of_row(row: JobRow[PlannedJob]) -> str:
    """Return the price of a job; of several, also that of all at once."""
    if not row.first.offers:
        return ""
    price = _price(row.first.offers[0])
    price_usd = row.first.price_usd_hour
    if len(row.jobs) == 1 or price_usd is None:
        return price
    return f"{price}, all {usd(price_usd * len(row.jobs))}"


def _details(
    row: JobRow[PlannedJob],
    plan: ExecutionPlan,
    rows: Mapping[str, JobRow[PlannedJob]],
    origins: Mapping[str, str],
) -> Iterator[Text]:
    sizes, job = plan.asset_bytes, row.first
    yield _line("steps", " → ".join(row.steps))
    for name, origin in job.origins.items():
        yield _line(_AMOUNTS[name], origin)
    if row.is_map and (planned := plan.maps.get(row.steps[0])) is not None:
        items = sum(
            declared_name(step) == row.steps[0] for member in row.jobs for step in member.steps
        )
        total = f"{planned.items:,}"
        if planned.parts is not None:
            yield _line("items", f"about {total}, in {counted(planned.parts, 'part')}")
        else:
            yield _line("items", total if items == planned.items else f"{items:,} of {total}")
        yield _line("items per job", f"{planned.items_per_job:,} ({planned.reason})")
        if planned.on_item_failure == "drop":
            yield _line("required", f"{planned.required:,} of {total}; failed ones are dropped")
    if job.held:
        yield _line("if taken", job.taken_text)
    if after := dict.fromkeys(name for member in row.jobs for name in member.after):
        yield _line("waits for", job_names_text(after, rows))
    if job.approvals:
        yield _line("approval", ", ".join(job.approvals))
    if reads := _reads(row, rows, sizes, origins):
        yield _line("reads", ", ".join(reads))
    stored = [asset for member in row.jobs for asset in member.stored]
    if stored:
        yield _line("stores", ", ".join(_sized(asset, sizes) for asset in short_names(stored)))
    if job.environment:
        variables = (f"{name}={value}" for name, value in job.environment.items())
        yield _line("environment", ", ".join(variables))
    if job.secrets:
        secrets = (f"{name} from {reference}" for name, reference in job.secrets.items())
        yield _line("secrets", ", ".join(secrets))
    if job.expected_s is not None:
        each = " each" if row.jobs[1:] else ""
        cost = f", {usd(job.expected_cost_usd)}" if job.expected_cost_usd is not None else ""
        yield _line("expected", f"{time_text(job.expected_s)}{cost}{each}")
    if ends_at_share(job):
        share = f"{usd(job.share_usd or 0)}, its share of max_cost_usd"
        yield _line("ends after", f"{time_text(attempt_limit_s(job) or 0)} ({share})")
    if job.highest is not None and job.highest != job.offers[0]:
        yield _line("price", price_range(job))
    if job.offers[1:]:
        fallbacks = (f"{offer.machines} {_price(offer)}" for offer in job.offers[1:])
        yield _line("alternatives", ", ".join(fallbacks))
    for cause, position in job.moves.items():
        place = plan.alternatives[position]
        if place.target != job.target or place.needs != job.needs:
            yield _line(_MOVES[cause], machine_after(job, place))
    for note in job.notes:
        yield Text(f"note: {note}", style="yellow")


def _expected(plan: ExecutionPlan) -> Iterator[RenderableType]:
    """Yield the expected cost and time of the run, and the other ways to split it into jobs."""
    estimate = plan.estimate
    if estimate is None:
        return
    yield Text()
    runs = counted(estimate.runs, "earlier run")
    basis = f"based on {runs}, with {estimate.startup_s} s to start each job"
    if estimate.wall_s is None:
        more = (
            f" and {len(estimate.unknown) - _MAX_NAMES} more"
            if estimate.unknown[_MAX_NAMES:]
            else ""
        )
        unknown = ", ".join(estimate.unknown[:_MAX_NAMES]) + more
        yield Text(f"expected time and cost: unknown, because {unknown} never ran ({basis})")
        return
    cost = "" if estimate.cost_usd is None else f"{usd(estimate.cost_usd)}, "
    yield Text(f"{plan.expected_label}: {cost}{time_text(estimate.wall_s)} ({basis})")
    if len(estimate.variants) > 1:
        table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
        for title in ("split", "jobs", "cost", "difference", "time"):
            table.add_column(title, justify="left" if title == "split" else "right", no_wrap=True)
        grouped = estimate.variants[0]
        for variant in estimate.variants:
            cost = "unknown" if variant.cost_usd is None else usd(variant.cost_usd)
            difference = _difference(variant, grouped)
            jobs, time = str(variant.jobs), time_text(variant.wall_s)
            table.add_row(variant.name, jobs, cost, difference, time)
        yield Padding(table, (0, 0, 0, 2), expand=False)
        for group, cuts in estimate.variants[-1].cuts.items():
            parts = " | ".join(" → ".join(steps) for steps in cuts)
            yield Padding(_line(f"cheapest split of {group}", parts), (0, 0, 0, 2), expand=False)


def _reads(
    row: JobRow[PlannedJob],
    rows: Mapping[str, JobRow[PlannedJob]],
    sizes: Mapping[str, int],
    origins: Mapping[str, str],
) -> list[str]:
    """Return the assets that jobs read, with the jobs that produce them, or their other origins."""
    by_source: dict[tuple[str, str], list[str]] = {}
    for member in row.jobs:
        for asset, producer in sorted(member.reads.items()):
            if producer is None:
                source = origins[asset]
            else:
                source = rows[producer].title if producer in rows else producer
            by_source.setdefault((declared_name(asset), source), []).append(asset)
    texts = []
    for (declared, source), assets in by_source.items():
        names = dict.fromkeys(assets)
        if len(names) > 1:
            texts.append(f"{declared} ({members_text(list(names))}, {source})")
        else:
            texts.append(f"{_sized(assets[0], sizes)} ({source})")
    return texts


def _sized(asset: str, sizes: Mapping[str, int]) -> str:
    return f"{asset} {decimal(sizes[asset])}" if asset in sizes else asset


def _difference(variant: Variant, grouped: Variant) -> str:
    """Format the cost difference between a variant and the plan, in percent."""
    if not variant.cost_usd or not grouped.cost_usd:
        return ""
    percent = round(100 * (variant.cost_usd / grouped.cost_usd - 1))
    return f"{percent:+,} %" if percent else ""


def _line(label: str, text: str) -> Text:
    return Text.assemble((f"{label}: ", "dim"), text)


def _needs(needs: Needs) -> str:
    gpu = f", {needs.gpu_count} × {needs.gpu_model}" if needs.gpu_model else ""
    disk = f", {needs.storage_gib} GiB disk" if needs.storage_gib else ""
    nodes = f"{needs.nodes} nodes, each " if needs.nodes > 1 else ""
    return f"{nodes}{needs.vcpus} vCPU, {needs.memory_mib / 1024:g} GiB{gpu}{disk}"


def _price(offer: InstanceOffer) -> str:
    return price_text(offer.price_usd_hour, offer.price_basis)
