"""Terminal output of advice: measured use, requests, and their cost."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.planning.advice.document import Advice, JobAdvice, JobPeaks, MachineCost, Option
from flowyml_aws.planning.needs import Needs
from flowyml_aws.view.instances import price_text

__all__ = ["advice_text", "peaks_text"]


def advice_text(advice: Advice) -> RenderableType:
    """Return the measured use, the request and the advice for each job, and the cost of a run."""
    runs = counted(advice.runs, "recorded run")
    parts: list[RenderableType] = [
        Text(f"advice on {advice.pipeline} on {advice.backend}, from {runs}"),
        Text(),
    ]
    for job in advice.jobs:
        parts.append(Text(job.job, style="bold"))
        parts += [Padding(line, (0, 0, 0, 2), expand=False) for line in _lines(job)]
    if advice.cost_usd is not None:
        parts += [Text(), _cost(advice.cost_usd, advice.advised_cost_usd)]
    parts += [_option(option) for option in advice.options]
    if any(job.advised is not None for job in advice.jobs):
        margin = f"{advice.memory_margin:.0%}"
        parts += [
            Text(),
            Text(
                f"Advised memory is the highest peak plus {margin}: data differ from run to run, "
                "and short peaks are not seen.",
                style="dim",
            ),
        ]
    parts += [Text(f"note: {note}", style="yellow") for note in advice.notes]
    return Group(*parts)


def peaks_text(peaks: JobPeaks) -> str:
    """Format the measured use: `at most 1.9 cores (mean 0.7) and 3,120 MiB memory`."""
    parts = [
        f"at most {peaks.cpu_peak_cores:.2g} cores (mean {peaks.cpu_mean_cores:.2g})",
        f"{peaks.memory_mib:,} MiB memory",
    ]
    if peaks.gpus is not None:
        used = counted(peaks.gpus, "GPU")
        memory = f", {peaks.gpu_memory_mib:,} MiB each" if peaks.gpus else ""
        parts.append(f"{used} used (mean {peaks.gpu_percent:.0f} %{memory})")
    return " and ".join([", ".join(parts[:-1]), parts[-1]])


def _lines(job: JobAdvice) -> Iterator[Text]:
    if job.peaks is not None:
        runs = counted(job.runs, "run")
        yield _line("measured", f"{peaks_text(job.peaks)}, in {runs}")
    yield _line("requested", _machine(job.requested, job.before))
    if job.advised is not None and job.after is not None:
        if job.is_adequate:
            yield _line("advised", "as requested")
        else:
            yield _line("advised", _machine(job.advised, job.after))
    if job.reason is not None:
        label = "no advice" if job.advised is None else "because"
        yield _line(label, job.reason)


def _machine(needs: Needs, machine: MachineCost) -> str:
    if machine.instance_type is None:
        return str(needs)
    price = price_text(machine.price_usd_hour, machine.price_basis)
    cost = "" if machine.cost_usd is None else f", {usd(machine.cost_usd)} per run"
    return f"{needs}: {machine.instance_type} at {price}/h{cost}"


def _cost(requested: float, advised: float | None) -> Text:
    text = f"a run costs {usd(requested)} as requested"
    if advised is None:
        return Text(text)
    percent = round(100 * (advised / requested - 1)) if requested else 0
    difference = f" ({percent:+,} %)" if percent else ""
    return Text(f"{text}, {usd(advised)} as advised{difference}")


def _option(option: Option) -> Text:
    saving = option.saving_usd
    if not saving:
        return _line(option.name, option.basis)
    verb = "saves" if saving > 0 else "costs"
    more = "" if saving > 0 else " more"
    return _line(option.name, f"{verb} {usd(abs(saving))}{more} per run: {option.basis}")


def _line(label: str, text: str) -> Text:
    return Text.assemble((f"{label}: ", "dim"), text)
