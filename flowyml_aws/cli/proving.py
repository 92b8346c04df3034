"""`flowyml-aws doctor --prove`: asks, runs the jobs, prints the table and writes the report."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import typer

from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.core.errors import PlanOverBudgetError, SettingsError
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements
from flowyml_aws.doctor.prove.image_build import proof_price
from flowyml_aws.doctor.prove.offers import plan_proof
from flowyml_aws.doctor.prove.parts import parts_of
from flowyml_aws.doctor.prove.prove import ProofOptions, prove
from flowyml_aws.doctor.prove.report import Proof
from flowyml_aws.packaging.project import find_project
from flowyml_aws.services.connect import account_settings
from flowyml_aws.submission.billing import REQUEST_USD
from flowyml_aws.view.proof import proof_plan_table, proof_table
from flowyml_aws.view.terminal import Terminal

__all__ = ["MAX_COST_USD", "REPORT", "ProveCommand", "prove_account"]

MAX_COST_USD = 0.75
REPORT = Path("flowyml-aws-proof.json")

_AGREED, _DEVIATED, _NOTHING_CHECKED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class ProveCommand:
    """Arguments of the command.

    Attributes:
        only: Names of the parts; empty for all.
        has_nodes: Whether one more job on each service runs on two nodes.
        has_efa: Whether one more job on each service runs on two nodes with EFA.
        max_cost_usd: Highest price that is accepted.
        is_confirmed: Whether the user is not asked.
        report: File for the report.
    """

    options: ProofOptions
    only: Collection[str]
    max_cost_usd: float
    is_confirmed: bool
    report: Path
    has_nodes: bool = False
    has_efa: bool = False


def prove_account(command: ProveCommand, as_json: bool) -> int:
    """Prove the account of the settings, and return the exit code.

    Raises:
        SettingsError: No account is set up, or the question needs a terminal.
        PlanOverBudgetError: The jobs may cost more than the limit.
    """
    gpu = command.options.gpu
    if gpu is not None:
        for problem in ResourceRequirements(gpu=GPUConfig(gpu)).problems():
            raise problem
    parts = parts_of(gpu, command.only, has_nodes=command.has_nodes, has_efa=command.has_efa)
    project = find_project([]).root
    settings = account_settings(project)
    _require_writable(command.report)
    say = Terminal(stderr=True, highlight=False)
    say.print("planning …", style="dim")
    plan = plan_proof(parts, settings, project, secrets.token_hex(4))
    say.print(proof_plan_table(plan))
    asked_usd = REQUEST_USD if command.options.asks_billing else 0.0
    if asked_usd:
        say.print(f"a request to Cost Explorer: {usd(asked_usd)}")
    if command.options.builds_image:
        asked_usd += proof_price().max_usd
        say.print(f"a build of a small image by CodeBuild: {proof_price()}")
    if command.options.sends_notices and settings.notify:
        say.print(f"a test notice to {counted(len(settings.notify), 'recipient')}")
    _require_affordable(plan.highest_usd + asked_usd, command.max_cost_usd)
    if plan.is_empty:
        say.print("no part can run: nothing was checked", style="bold red")
        return _NOTHING_CHECKED
    if not command.is_confirmed:
        _confirm()
    proof = prove(
        plan, settings, project, command.options, lambda text: say.print(text, markup=False)
    )
    command.report.write_bytes(proof.to_json() + b"\n")
    say.print(f"wrote {command.report}", style="dim")
    if as_json:
        sys.stdout.write(proof.to_json().decode() + "\n")
    else:
        Terminal().print(proof_table(proof))
    return _exit_code(proof)


def _exit_code(proof: Proof) -> int:
    if proof.rows_with("deviated"):
        return _DEVIATED
    return _AGREED if proof.rows_with("agreed") else _NOTHING_CHECKED


def _require_affordable(highest_usd: float, max_cost_usd: float) -> None:
    if highest_usd > max_cost_usd:
        raise PlanOverBudgetError(
            what=f"The jobs may cost ${highest_usd:.2f}, more than ${max_cost_usd:.2f}",
            why="the limit is that of --max-cost",
            fix=f"pass --max-cost {highest_usd + 0.005:.2f}, or leave parts out with --only",
        )


def _require_writable(report: Path) -> None:
    """Check that the report can be written, before anything is paid for."""
    try:
        is_new = not report.exists()
        report.touch()
        if is_new:  # a refused proof leaves no empty file
            report.unlink()
    except OSError as error:
        raise SettingsError(
            what=f"Can't write to {report}", why=str(error), fix="name another file with --report"
        ) from error


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise SettingsError(
            what="doctor --prove runs jobs that cost money, and was not confirmed",
            why="the question needs a terminal",
            fix="pass --yes",
        )
    typer.confirm("run these jobs?", abort=True, err=True)
