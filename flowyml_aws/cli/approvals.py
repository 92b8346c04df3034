"""Commands that show and answer the approvals of a run."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.cli.app import AsJson, RunId, app
from flowyml_aws.cli.completion import complete_approval
from flowyml_aws.cli.facts import approval_facts, print_json, status_facts
from flowyml_aws.cli.save import show
from flowyml_aws.cli.streams import for_terminal
from flowyml_aws.client.run import Run, StoredOutput
from flowyml_aws.core.maps import declared_name
from flowyml_aws.core.shared_assets import asset_of_branch
from flowyml_aws.submission.approvals import ApprovalState, approval_notes
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus, client_warning
from flowyml_aws.submission.whole_status import with_sub_runs
from flowyml_aws.view import program
from flowyml_aws.view.outputs import outputs_table
from flowyml_aws.view.terminal import Terminal

__all__ = ["approvals", "approve"]

_MAX_BYTES = 500  # of a value that is shown
_PLAIN = ("json", "numpy-scalar", "text")

Approval = Annotated[
    str | None,
    typer.Argument(
        metavar="[APPROVAL]",
        help="Name of the approval; it can be omitted if only one waits.",
        autocompletion=complete_approval,
    ),
]


@app.command()
def approve(
    run_id: RunId,
    approval: Approval = None,
    reject: Annotated[
        bool, typer.Option("--reject", help="Reject it: the jobs after it do not run.")
    ] = False,
    comment: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Comment for readers of the run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Approve or reject what a run waits for, and let it continue."""
    attached = Run.attach(run_id)
    status = (attached.reject if reject else attached.approve)(approval, comment)
    if as_json:
        print_json(status_facts(status))
        return
    for note in approval_notes(status.approvals, attached.id):
        print(for_terminal(note))
    for line in _next_lines(status):
        print(line)


@app.command()
def approvals(run_id: RunId, as_json: AsJson = False) -> None:
    """List the approvals of a run and its sub-runs, and what they are about."""
    attached = Run.attach(run_id)
    status = attached.status()
    if as_json:
        print_json({view.name: approval_facts(view) for view in status.approvals})
        return
    if not with_sub_runs(status).approvals:
        print(f"run {attached.id} has no approvals")
        return
    _show(attached, status, Terminal())


def _show(attached: Run, status: RunStatus, console: Terminal) -> None:
    """Print the approvals of a run, then those of its sub-runs."""
    _show_own(attached, status, console)
    for sub_run in status.expansions:
        if sub_run.status is not None and with_sub_runs(sub_run.status).approvals:
            console.print(Text(f"pipeline of {sub_run.step}, run {sub_run.run_id}:"))
            _show(Run.attach(sub_run.run_id), sub_run.status, console)


def _show_own(attached: Run, status: RunStatus, console: Terminal) -> None:
    if not status.approvals:
        return
    outputs = attached.listed()
    metrics = attached.metrics()
    for view in status.approvals:
        note = view.note(attached.id) or view.state.value
        console.print(Text(f"{view.name}: {note}"), soft_wrap=True)
        inputs = {declared_name(asset) for asset in view.planned.inputs}
        about = [
            output
            for output in outputs
            if not inputs.isdisjoint((output.asset, asset_of_branch(output.asset, output.step)))
        ]
        if about:
            console.print(Padding(outputs_table(about), (0, 0, 0, 2), expand=False))
        for output in about:
            if isinstance(output, StoredOutput) and _is_small(output.ref):
                text = " ".join(show(attached.outputs[output.asset]).split())
                console.print(Text(f"  {output.asset} = {text}"))
        for step in dict.fromkeys(output.step for output in about):
            for name, value in metrics.get(step, {}).items():
                console.print(Text(f"  {step}: {name} {value:.6g}"))


def _is_small(ref: ArtifactRef) -> bool:
    """Return whether a value is shown: a short one whose decoding executes no code."""
    return ref.codec.partition("/")[0] in _PLAIN and ref.value_bytes <= _MAX_BYTES


def _next_lines(status: RunStatus) -> list[str]:
    if status.state is not RunState.RUNNING:
        return [f"run {status.run_id}: {status.state.value}"]
    if any(view.state is ApprovalState.WAITING for view in status.approvals):
        return []
    warning = client_warning(status)
    return [warning or f"follow it with: {program()} attach {status.run_id}"]
