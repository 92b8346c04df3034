"""Lengths of the lists that a run produces, from earlier runs of its pipeline."""

from __future__ import annotations

from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.build import BuiltPipeline
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.planning.history import earlier_lengths
from flowyml_aws.services.connect import connect_to_plan, placement_settings
from flowyml_aws.submission.history import read_times

__all__ = ["build"]


def build(request: RunRequest) -> tuple[BuiltPipeline | None, list[FlowymlError]]:
    """Order, group and expand the steps. Return None and all mistakes if there are any.

    A list that the run produces, and for which no step expects a number of items, is assumed to be
    as long as in the last run that succeeded. The store is read only if there is such a list.
    """
    pipeline, problems = request.build()
    if pipeline is not None or not request.assumes_lengths:
        return pipeline, problems
    project = request.project.root
    try:
        placement = request.placement(project)
        services = connect_to_plan(placement, placement_settings(project, placement), project)
        store = services.host.earlier_runs
        history = () if store is None else read_times(store, request.name)
    except FlowymlError:
        return pipeline, problems  # other checks report it
    return request.build(earlier_lengths(history))
