"""The command that executes a step of a run again on this machine."""

from __future__ import annotations

import bdb
import contextlib
import functools
import inspect
import pdb
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flowyml_aws.cli.app import INTERRUPTED, RUN_FAILED, AsJson, RunId, app
from flowyml_aws.cli.completion import complete_step
from flowyml_aws.cli.facts import print_json
from flowyml_aws.client.replay import Replay, ReplayRequest
from flowyml_aws.client.replay import replay as replay_step
from flowyml_aws.client.step_of_run import StepChoice
from flowyml_aws.core.termination import Terminated
from flowyml_aws.packaging.project import find_project
from flowyml_aws.runtime.result import StepState
from flowyml_aws.services.connect import locate_run
from flowyml_aws.view.replay import replay_text, value_text
from flowyml_aws.view.terminal import Terminal

__all__ = ["replay"]


@app.command()
def replay(
    run_id: RunId,
    step: Annotated[
        str,
        typer.Argument(
            metavar="STEP",
            help="Step of the run, or an item of a mapped step: train[3].",
            autocompletion=complete_step,
        ),
    ],
    item: Annotated[
        int | None, typer.Option(min=0, help="Position of the item of a mapped step, from 0.")
    ] = None,
    debug: Annotated[
        bool, typer.Option("--pdb", help="Open the debugger at the exception, if there is one.")
    ] = False,
    debug_start: Annotated[
        bool, typer.Option("--pdb-start", help="Open the debugger where the function begins.")
    ] = False,
    recorded: Annotated[
        bool,
        typer.Option("--recorded", help="Use the code of the run, not that of the project now."),
    ] = False,
    allow_pickle: Annotated[
        bool | None,
        typer.Option(
            "--allow-pickle/--no-pickle",
            help="Load or refuse the steps of the run, which are pickles. By default, they are "
            "loaded if you started the run on this machine.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Execute a step of a run again on this machine, with its recorded inputs.

    The run does not change: nothing is written to its store.
    """
    found, name = locate_run(run_id).containing(step)
    out = sys.stdout
    with tempfile.TemporaryDirectory(prefix="flowyml-aws-replay-") as folder:
        request = ReplayRequest(
            choice=StepChoice(name, item, allow_pickle),
            is_recorded=recorded,
            root=find_project([]).root,
            folder=Path(folder).resolve(),
            around=_in_debugger if debug_start else lambda function: function,
        )
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            replayed = replay_step(found, request)
            error = replayed.outcome.error
            if isinstance(error, KeyboardInterrupt | Terminated):
                raise error
            if isinstance(error, bdb.BdbQuit):
                raise typer.Exit(INTERRUPTED)
            if error is not None and (debug or debug_start):
                pdb.post_mortem(error.__traceback__)
        if as_json:
            with contextlib.redirect_stdout(out):
                print_json(_facts(found.record.run_id, replayed))
        else:
            Terminal().print(replay_text(replayed))
    is_bad = replayed.outcome.report.state in (StepState.FAILED, StepState.WAITING)
    raise typer.Exit(RUN_FAILED if is_bad else 0)


def _in_debugger(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that stops in the debugger when it is called."""
    debugger = pdb.Pdb()

    @functools.wraps(function)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        debugger.set_trace()
        return await function(*args, **kwargs)  # the step's function: `step` enters it

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return debugger.runcall(function, *args, **kwargs)

    return call_async if inspect.iscoroutinefunction(function) else call


def _facts(run_id: str, replayed: Replay) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "step": replayed.step,
        "report": replayed.outcome.report.model_dump(mode="json"),
        "recorded": replayed.recorded and replayed.recorded.model_dump(mode="json"),
        "before": list(replayed.outcome.before),
        "outputs": {
            output.asset: {
                "type": type(output.value).__qualname__,
                "value": value_text(output.value),
                "same": output.is_same,
            }
            for output in replayed.outputs
        },
    }
