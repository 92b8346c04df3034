"""Names of runs: an id, its first characters, `latest`, or `latest:PIPELINE`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.core.spelling import nearest
from flowyml_aws.submission.record import newest_first, slug_of

__all__ = ["LATEST", "is_complete", "matching_runs", "names_newest", "pipeline_of", "unknown_run"]

LATEST = "latest"

_DASHES = 3  # of an id, at least
_MAX_SHOWN = 10


def is_complete(name: str) -> bool:
    """Return whether a name can be a complete id."""
    return name.count("-") >= _DASHES


def pipeline_of(name: str) -> str | None:
    """Return the pipeline in `latest:PIPELINE`; None for every other name."""
    keyword, colon, pipeline = name.partition(":")
    return pipeline if colon and keyword == LATEST else None


def names_newest(name: str) -> bool:
    """Return whether a name is `latest` or `latest:PIPELINE`."""
    return name == LATEST or pipeline_of(name) is not None


def matching_runs(name: str, run_ids: Collection[str]) -> Sequence[str]:
    """Return the ids that a name matches.

    For `latest` and `latest:PIPELINE`, several ids, newest first: the newest one whose record
    exists and names the pipeline is the run. Otherwise, at most one.

    Args:
        name: Name of a run.
        run_ids: Ids of all runs.

    Raises:
        RunNotFoundError: Several ids start with the name.
    """
    if name == LATEST:
        return newest_first(run_ids)
    if (pipeline := pipeline_of(name)) is not None:
        slug = slug_of(pipeline)
        return newest_first(run_id for run_id in run_ids if run_id.rsplit("-", 3)[0] == slug)
    if name in run_ids:
        return [name]
    matches = newest_first(run_id for run_id in run_ids if run_id.startswith(name)) if name else []
    if len(matches) > 1:
        more = f" and {len(matches) - _MAX_SHOWN} more" if matches[_MAX_SHOWN:] else ""
        raise RunNotFoundError(
            what=f"{len(matches)} runs start with {name!r}",
            why=f"they are {', '.join(matches[:_MAX_SHOWN])}{more}",
            fix="add characters until the id is unique; `latest` is the newest run, and "
            "`latest:PIPELINE` that of a pipeline",
        )
    return matches


def unknown_run(name: str, run_ids: Collection[str], searched: str) -> RunNotFoundError:
    """Return the error for a name that no run has.

    Args:
        name: Name of a run.
        run_ids: Ids of all runs.
        searched: Places that were searched, as a clause.
    """
    fix = (
        "list the runs with `flowyml-aws runs` in the project's folder; for runs on AWS, set "
        "FLOWYML_AWS_STORE"
    )
    _, colon, pipeline = name.partition(":")  # also if `latest` is misspelled
    if colon:
        pipelines = {run_id.rsplit("-", 3)[0] for run_id in run_ids}
        near = [f"{LATEST}:{each}" for each in nearest(slug_of(pipeline), pipelines)]
        if pipeline_of(name) is not None and slug_of(pipeline) in pipelines:
            fix = f"`{LATEST}` names no sub-runs; list all runs with `flowyml-aws runs --all`"
            return RunNotFoundError(what=f"No run {name!r}", why=searched, fix=fix)
    else:
        names = [LATEST, *newest_first(run_ids)]
        near = list(nearest(name, [known for known in names if known != name]))
    return RunNotFoundError(
        what=f"No run {name!r}",
        why=searched,
        fix=f"did you mean {' or '.join(near)}? Otherwise: {fix}" if near else fix,
    )
