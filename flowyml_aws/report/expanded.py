"""One report of a run and its sub-runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flowyml_aws.report.data import (
    AdviceEntry,
    AssetEntry,
    ExpansionEntry,
    FailureEntry,
    Fix,
    JobEntry,
    MapEntry,
    RunReport,
    StepEntry,
)
from flowyml_aws.submission.losses import total_lost

__all__ = ["with_sub_reports"]


def with_sub_reports(report: RunReport, parts: Mapping[str, RunReport]) -> RunReport:
    """Return a report that contains the jobs, steps and values of the sub-runs.

    Their names start with the name of the dynamic step: `search/train`. In the graph, the first
    jobs of a sub-run are after the job of the step, and the jobs that read an output of the step
    are after the job of the sub-run that produces it. Costs and lost attempts are sums.

    Args:
        report: Report of the run alone.
        parts: Report of each sub-run, with its own sub-runs, by dynamic step.
    """
    if not parts:
        return report
    job_of = {step.name: step.job for step in report.steps if step.job is not None}
    inner = {
        job_of[step]: _Part(f"{step}/", job_of[step], part)
        for step, part in parts.items()
        if step in job_of
    }
    jobs: list[JobEntry] = []
    for job in report.jobs:
        jobs.append(_after_producers(job, inner))
        jobs += inner[job.name].jobs if job.name in inner else ()
    found = list(inner.values())
    every = (report, *(part.report for part in found))
    return report.model_copy(
        update={
            "jobs": tuple(jobs),
            "steps": (*report.steps, *(each for part in found for each in part.steps)),
            "assets": (*report.assets, *(each for part in found for each in part.assets)),
            "maps": (*report.maps, *(each for part in found for each in part.maps)),
            "failures": (
                *(_without_traceback(each, inner) for each in report.failures),
                *(each for part in found for each in part.failures(report.run_id)),
            ),
            "notes": (*report.notes, *(note for part in found for note in part.notes(report))),
            "shortened": tuple(dict.fromkeys(each for part in every for each in part.shortened)),
            "advice": (*report.advice, *(each for part in found for each in part.advice)),
            "expansions": (
                *report.expansions,
                *(each for part in found for each in part.expansions),
            ),
            "cost_usd": _sum(job.cost_usd for job in jobs if job.attempt),
            # Nothing is expected of a sub-run that is reused completely.
            "expected_cost_usd": _sum(part.expected_cost_usd for part in every if part.jobs),
            "expected_s": None,  # the plan of the run does not contain the sub-runs
            "lost": total_lost(part.lost for part in every),
        }
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """The report of a sub-run.

    Attributes:
        path: Start of all its names.
        job: Job of the dynamic step.
    """

    path: str
    job: str
    report: RunReport

    @property
    def jobs(self) -> list[JobEntry]:
        return [self._job(job) for job in self.report.jobs]

    def _job(self, job: JobEntry) -> JobEntry:
        edges = {f"{self.path}{parent}": assets for parent, assets in job.edges.items()}
        edges = edges or {self.job: ()}
        return job.model_copy(
            update={
                "name": f"{self.path}{job.name}",
                "steps": self._named(job.steps),
                "mapped": self._named(job.mapped),
                "after": self._named(job.after) or (self.job,),
                "edges": edges,
            }
        )

    @property
    def steps(self) -> list[StepEntry]:
        return [
            step.model_copy(
                update={
                    "name": f"{self.path}{step.name}",
                    "job": self._optional(step.job),
                    "inputs": self._named(step.inputs),
                    "outputs": self._named(step.outputs),
                }
            )
            for step in self.report.steps
        ]

    @property
    def assets(self) -> list[AssetEntry]:
        return [
            asset.model_copy(
                update={"name": f"{self.path}{asset.name}", "step": f"{self.path}{asset.step}"}
            )
            for asset in self.report.assets
        ]

    @property
    def maps(self) -> list[MapEntry]:
        return [
            entry.model_copy(
                update={
                    "name": f"{self.path}{entry.name}",
                    "items": tuple(
                        item.model_copy(
                            update={
                                "name": f"{self.path}{item.name}",
                                "job": self._optional(item.job),
                            }
                        )
                        for item in entry.items
                    ),
                }
            )
            for entry in self.report.maps
        ]

    def failures(self, run_id: str) -> list[FailureEntry]:
        """Return its failures. What continues it is the run that contains it."""

        def fixed(fix: Fix) -> Fix:
            command = fix.command and fix.command.replace(
                f"resume {self.report.run_id}", f"resume {run_id}"
            )
            return fix.model_copy(update={"command": command})

        return [
            failure.model_copy(
                update={
                    "job": f"{self.path}{failure.job}",
                    "step": self._optional(failure.step),
                    "fixes": tuple(map(fixed, failure.fixes)),
                }
            )
            for failure in self.report.failures
        ]

    def notes(self, around: RunReport) -> list[str]:
        own = (note for note in self.report.notes if note not in around.notes)
        return [f"{self.path.removesuffix('/')}: {note}" for note in own]

    @property
    def advice(self) -> list[AdviceEntry]:
        return [
            entry.model_copy(update={"job": f"{self.path}{entry.job}"})
            for entry in self.report.advice
        ]

    @property
    def expansions(self) -> list[ExpansionEntry]:
        return [
            entry.model_copy(update={"step": f"{self.path}{entry.step}"})
            for entry in self.report.expansions
        ]

    def producers(self, assets: Iterable[str]) -> dict[str, list[str]]:
        """Return the assets by the job of the sub-run that produces them."""
        producers = _producers(self.report)
        found: dict[str, list[str]] = {}
        for asset in assets:
            job = producers.get(_own_name(asset))
            found.setdefault(self.job if job is None else f"{self.path}{job}", []).append(asset)
        return found

    def _named(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"{self.path}{name}" for name in names)

    def _optional(self, name: str | None) -> str | None:
        return None if name is None else f"{self.path}{name}"


def _after_producers(job: JobEntry, inner: Mapping[str, _Part]) -> JobEntry:
    """Return a job that is after the jobs that produce what it reads from a dynamic step."""
    edges: dict[str, tuple[str, ...]] = {}
    for parent, assets in job.edges.items():
        if parent not in inner:
            edges[parent] = (*edges.get(parent, ()), *assets)
            continue
        for producer, produced in inner[parent].producers(assets).items():
            edges[producer] = (*edges.get(producer, ()), *produced)
    return job.model_copy(update={"edges": edges})


def _producers(report: RunReport) -> dict[str, str]:
    """Return the job that produces each asset, in the innermost sub-run."""
    found: dict[str, str] = {}
    for step in report.steps:
        if step.job is not None:
            found.update(dict.fromkeys(step.outputs, step.job))
    outputs = {step.name: step.outputs for step in report.steps}
    # The innermost sub-runs first: an outer one may return their assets.
    for entry in sorted(report.expansions, key=lambda each: -each.step.count("/")):
        for asset in outputs.get(entry.step, ()):
            if (job := found.get(f"{entry.step}/{_own_name(asset)}")) is not None:
                found[asset] = job
    return found


def _own_name(asset: str) -> str:
    return asset.rpartition("/")[2]


def _without_traceback(failure: FailureEntry, inner: Mapping[str, _Part]) -> FailureEntry:
    """Return the failure of a dynamic step without the traceback, which its sub-run has, too."""
    is_copy = failure.job in inner and bool(inner[failure.job].report.failures)
    return failure.model_copy(update={"traceback": None}) if is_copy else failure


def _sum(amounts: Iterable[float | None]) -> float | None:
    """Return the sum of amounts; None if one is unknown, or if there is none."""
    known = list(amounts)
    return None if None in known or not known else sum(filter(None, known))
