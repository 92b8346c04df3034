"""The plan of a proof: which parts can run, and what they cost at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.client.options import RunOptions
from flowyml_aws.client.preview import plan_only
from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError, SettingsError
from flowyml_aws.doctor.prove.parts import Part
from flowyml_aws.doctor.prove.steps import make_steps
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.services import service_traits
from flowyml_aws.planning.targets import Target
from flowyml_aws.services.connect import connect
from flowyml_aws.settings.model import Settings

__all__ = ["PIPELINE", "PartPlan", "ProofPlan", "first_reason", "plan_proof", "request_of"]

PIPELINE = "doctor-prove"


@dataclass(frozen=True, slots=True)
class PartPlan:
    """A part with the plan of its first run, or the reason why it can't run.

    Attributes:
        target: Target of its jobs; None if the part can't run.
    """

    part: Part
    plan: ExecutionPlan | None = None
    target: Target | None = None
    problem: str = ""

    @property
    def highest_usd(self) -> float | None:
        """Highest price of the part; None if a price is unknown."""
        if self.plan is None:
            return 0.0
        (job,) = self.plan.jobs
        prices = [offer.price_usd_hour for offer in job.offers]
        prices.append(job.highest_price_usd_hour)
        known = [price for price in prices if price is not None]
        if len(known) < len(prices):
            return None
        return max(known) * self.part.billed_s(service_traits(job.backend).startup_s) / 3600


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
    targets: dict[str, Sequence[Target]] = {}
    for part in parts:
        is_set_up = not part.setting or getattr(settings, part.setting) is not None
        if is_set_up and part.backend not in targets:
            services = connect(Placement.of(part.backend), settings, project)
            targets[part.backend] = services.targets()
    return ProofPlan(token, tuple(_plan_part(part, targets, token) for part in parts))


def _plan_part(part: Part, targets: Mapping[str, Sequence[Target]], token: str) -> PartPlan:
    if part.backend not in targets:
        return PartPlan(part, problem=f"the setting `{part.setting}` is missing")
    offered = targets[part.backend]
    if part.capacity and all(target.capacity != part.capacity for target in offered):
        return PartPlan(part, problem=f"no queue of the settings has {part.capacity} capacity")
    try:
        plan = plan_only(request_of(part, 0, token))
    except FlowymlError as error:
        return PartPlan(part, problem=first_reason(error))
    target = next((t for t in offered if t.name == plan.jobs[0].target), None)
    return PartPlan(part, plan, target)


def request_of(part: Part, stage: int, token: str) -> RunRequest:
    """Return the request of one run of a part, as a user makes it."""
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
                shared_memory=part.shared_memory,
            )
        ),
        context=context,
        options=RunOptions(backend=part.backend),
    )


def first_reason(error: FlowymlError) -> str:
    """Return an error in one line: its first mistake, if it contains several."""
    if isinstance(error, InvalidPipelineError) and error.problems:
        error = error.problems[0]
    return f"{error.what}: {error.why}; {error.fix}".replace("\n", " ")
