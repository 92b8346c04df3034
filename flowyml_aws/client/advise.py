"""Advice on the requests of a pipeline, from its earlier runs."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial

from flowyml_aws.client.preview import earlier_times, prepare
from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.loading import stop_while_loading
from flowyml_aws.planning.advice.document import Advice
from flowyml_aws.planning.advice.evidence import MIN_RUNS
from flowyml_aws.planning.advice.make import make_advice
from flowyml_aws.planning.make import make_plan

__all__ = ["advise"]


def advise(request: RunRequest, runs: int) -> Advice:
    """Return advice on every job of a pipeline, as if no output was cached.

    Args:
        request: Pipeline with its options.
        runs: Number of earlier runs to read, the latest ones.

    Raises:
        SettingsError: `runs` is too small.
        InvalidPipelineError: The pipeline has mistakes, or no instance type fits a group.
        FlowymlError: A setting is invalid, or AWS denied a call.
    """
    if isinstance(runs, bool) or not isinstance(runs, int) or runs < MIN_RUNS:
        raise SettingsError(
            what=f"Invalid number of runs {runs!r}",
            why=f"advice needs at least {MIN_RUNS} runs that measured a step",
            fix=f"write an integer of at least {MIN_RUNS}, or omit it",
        )
    stop_while_loading()
    prepared = prepare(request)
    checked, host = prepared.request, prepared.services.host
    history = earlier_times(prepared.services, request.name, runs)
    planner = partial(
        make_plan,
        pipeline=request.name,
        placement=checked.placement,
        graph=checked.graph,
        catalog=host.catalog,
        history=history,
        environment=checked.environment,
        secrets=checked.secrets,
    )
    targets = prepared.services.targets()
    advice = make_advice(planner, checked.groups, targets, history, checked.spot)
    notes = (*advice.notes, *host.notes(datetime.now(timezone.utc).date()))
    return advice.model_copy(update={"notes": notes})
