"""The plan of a proof: which parts can run, and what they cost at most."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.client.options import RunOptions
from flowyml_aws.client.preview import plan_only
from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError, SettingsError
from flowyml_aws.doctor.prove.parts import Part
from flowyml_aws.doctor.prove.steps import DATA_INPUT, make_steps
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.services import service_traits
from flowyml_aws.planning.targets import Target
from flowyml_aws.services.connect import connect
from flowyml_aws.services.run_services import RunServices
from flowyml_aws.settings.model import Settings

__all__ = ["PIPELINE", "PartPlan", "ProofPlan", "first_reason", "plan_proof", "request_of"]

PIPELINE = "doctor-prove"


@dataclass(frozen=True, slots=True)
class PartPlan:
    """A part with the plan of its first run, or the reason why it can't run.

    Attributes:
        target: Target of its jobs; None if the part can't run.
        driver_usd_hour: Price of the machine of the job that starts and drives the run of a
            schedule; None if it is unknown, 0 without such a job.
    """

    part: Part
    plan: ExecutionPlan | None = None
    target: Target | None = None
    problem: str = ""
    driver_usd_hour: float | None = 0.0

    @property
    def highest_usd(self) -> float | None:
        """Highest price of the part; None if a price is unknown."""
        if self.plan is None:
            return 0.0
        (job,) = self.plan.jobs
        prices = [offer.price_usd_hour for offer in job.offers]
        prices.append(job.highest_price_usd_hour)
        known = [price for price in prices if price is not None]
        if len(known) < len(prices) or self.driver_usd_hour is None:
            return None
        startup_s = service_traits(job.backend).startup_s
        run_s = self.part.billed_s(startup_s)
        driver_s = startup_s + run_s  # the driver starts first, and waits for the job
        return (max(known) * run_s + self.driver_usd_hour * driver_s) / 3600


@dataclass(frozen=True, slots=True)
class ProofPlan:
    """The plan of a whole proof.

    Attributes:
        token: Random part of the values, which keeps proofs apart.
    """

    token: str
    parts: tuple[PartPlan, ...]

    @property
    def highest_usd(self) -> float:
        """Highest price of all jobs.

        Raises:
            SettingsError: A price is unknown.
        """
        prices = {each.part.name: each.highest_usd for each in self.parts}
        if unknown := [name for name, price in prices.items() if price is None]:
            raise SettingsError(
                what=f"The price of {', '.join(unknown)} is unknown",
                why="the catalog has no price for an instance type that may be started",
                fix="run `flowyml-aws catalog refresh`, or leave the part out with --only",
            )
        return sum(price for price in prices.values() if price is not None)

    @property
    def is_empty(self) -> bool:
        """Return whether no part can run."""
        return all(each.plan is None for each in self.parts)


def plan_proof(parts: Sequence[Part], settings: Settings, project: Path, token: str) -> ProofPlan:
    """Return the plan of a proof.

    Args:
        parts: Parts to prove.
        settings: Settings of the project.
        project: Root of the project.
        token: Random part of the values.

    Raises:
        SettingsError: No store is set.
        AwsRefusedError: AWS denied a call.
    """
    if settings.store is None:
        raise SettingsError(
            what="doctor --prove needs an account",
            why="the settings `account` and `store` are missing",
            fix="set account to the account name used with infra/ (FLOWYML_AWS_ACCOUNT), or start "
            "`flowyml-aws emulate`",
        )
    missing = {part: _missing_setting(part, settings) for part in parts}
    services = {
        backend: connect(Placement.of(backend), settings, project)
        for backend in {part.backend for part, setting in missing.items() if setting is None}
    }
    targets = {backend: each.targets() for backend, each in services.items()}
    return ProofPlan(
        token,
        tuple(
            PartPlan(part, problem=f"the setting `{setting}` is not set")
            if setting is not None
            else _plan_part(part, services[part.backend], targets[part.backend], token)
            for part, setting in missing.items()
        ),
    )


def _missing_setting(part: Part, settings: Settings) -> str | None:
    return next((name for name in part.settings if not getattr(settings, name)), None)


def _plan_part(
    part: Part, services: RunServices, offered: Sequence[Target], token: str
) -> PartPlan:
    if part.capacity and all(target.capacity != part.capacity for target in offered):
        return PartPlan(part, problem=f"no queue of the settings has {part.capacity} capacity")
    if part.options.priority is not None and all(target.share is None for target in offered):
        return PartPlan(part, problem="no queue of the settings has a fair-share scheduling policy")
    try:
        plan = plan_only(request_of(part, 0, token))
        driver = services.driver_job(plan) if part.is_scheduled else None
    except FlowymlError as error:
        return PartPlan(part, problem=first_reason(error))
    target = next((t for t in offered if t.name == plan.jobs[0].target), None)
    driver_usd_hour = 0.0 if driver is None else driver.price_usd_hour
    return PartPlan(part, plan, target, driver_usd_hour=driver_usd_hour)


def request_of(
    part: Part, stage: int, token: str, inputs: Mapping[str, Any] | None = None
) -> RunRequest:
    """Return the request of one run of a part, as a user makes it.

    Args:
        part: The part.
        stage: Position of the run.
        token: Random part of the values.
        inputs: External inputs; None for a plan, which needs their names only.
    """
    names: Collection[str] = (DATA_INPUT,) if part.has_data else ()
    steps = part.stages[stage]
    context: dict[str, object] = {"proof": f"{part.name}-{token}"}
    if "look" in steps:
        context["asks_metadata"] = "metadata" in part.checks
    return RunRequest(
        name=PIPELINE,
        steps=tuple(
            make_steps(
                steps,
                part.capacity,
                part.gpu,
                part.nodes,
                has_efa=part.has_efa,
                options=part.options,
            )
        ),
        context=context,
        options=RunOptions(
            backend=part.backend,
            inputs=names if inputs is None else inputs,
            notify=(),  # the runs are tests
            debug_shell=part.has_shell,
        ),
    )


def first_reason(error: FlowymlError) -> str:
    """Return an error in one line: its first mistake, if it contains several."""
    if isinstance(error, InvalidPipelineError) and error.problems:
        error = error.problems[0]
    return f"{error.what}: {error.why}; {error.fix}".replace("\n", " ")
