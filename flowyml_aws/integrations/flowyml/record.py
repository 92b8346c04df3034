"""Live record of a run in FlowyML's metadata store, which its UI and its commands show."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from flowyml.core.execution_status import ExecutionStatus
from flowyml.core.hooks import HookRegistry, get_global_hooks
from flowyml.storage.metadata import SQLiteMetadataStore
from flowyml.utils.config import get_config

from flowyml_aws.client.run import Run
from flowyml_aws.core.event_loop import awaiting
from flowyml_aws.integrations.flowyml.approvals import approval_reports, unasked_reports
from flowyml_aws.integrations.flowyml.results import (
    error_of,
    errors_of,
    record_copy,
    step_status,
)
from flowyml_aws.integrations.flowyml.sub_pipelines import sub_pipelines_in, with_sub_pipelines
from flowyml_aws.runtime.result import StepReport, StepState
from flowyml_aws.submission.status import RunStatus
from flowyml_aws.submission.whole_status import with_sub_runs

__all__ = ["LiveRecord", "recorded_run_id"]


class LiveRecord:
    """Writes the progress of a run to FlowyML's metadata store.

    Args:
        pipeline: FlowyML pipeline.
        run_id: FlowyML's id of the run.
        run: The run of this package.
    """

    def __init__(self, pipeline: Any, run_id: str, run: Run) -> None:
        self._pipeline = pipeline
        self._run_id = run_id
        self._run = run
        self._seen: Mapping[str, StepState] = {}  # for the hooks
        self._written: Mapping[str, StepState] | None = None

    def begin(self) -> None:
        """Record that the run has started, and call FlowyML's hooks."""
        _hooks().run_pipeline_start_hooks(self._pipeline)
        self._write(self._run.status())

    def watcher(self, show: Callable[[RunStatus], None] | None) -> Callable[[RunStatus], None]:
        """Return the callback for `Run.wait`, which also calls `show`."""

        def watch(status: RunStatus) -> None:
            if show is not None:
                show(status)
            self._update(status)

        return watch

    def end(self, result: Any) -> None:
        """Record the result as FlowyML does, and call its hooks."""
        hooks = _hooks()
        steps = dict(with_sub_pipelines(self._pipeline.steps))
        for name, outcome in result.step_results.items():
            if name in steps:  # FlowyML calls no hooks for the steps of branches
                hooks.run_step_end_hooks(steps[name], outcome)
        hooks.run_pipeline_end_hooks(self._pipeline, result)
        with self._errors_as_warnings():
            self._pipeline._save_run(record_copy(result))
            if expanded := _expanded(self._run.status()):
                store = self._pipeline.metadata_store
                facts = store.load_run(self._run_id) or {}
                facts["steps"] = {**facts.get("steps", {}), **expanded}
                store.save_run(self._run_id, facts)
            self._pipeline._save_pipeline_definition()

    def _update(self, status: RunStatus) -> None:
        steps = dict(with_sub_pipelines(self._pipeline.steps))
        states = _states(status)
        for name, state in states.items():
            is_new = name in steps and self._seen.get(name) is not state
            if state is StepState.RUNNING and is_new:
                _hooks().run_step_start_hooks(steps[name], {})
        self._seen = states
        if states != self._written:  # also after a failed write: the next change may take hours
            self._write(status)

    def _write(self, status: RunStatus) -> None:
        facts = {
            "run_id": self._run_id,
            "pipeline_name": self._pipeline.name,
            "status": ExecutionStatus.RUNNING.value,
            "start_time": datetime.fromtimestamp(status.created_at).isoformat(),
            "context": _as_json(self._pipeline.context.to_dict()),
            "steps": self._steps(status),
            "dag": _graph(self._pipeline.dag),
            "remote_job_id": status.run_id,
            "project": getattr(self._pipeline, "project_name", None),
        }
        with self._errors_as_warnings():
            self._pipeline.metadata_store.save_run(self._run_id, facts)
            self._written = _states(status)

    @contextmanager
    def _errors_as_warnings(self) -> Iterator[None]:
        """Turn errors into warnings: the run itself does not depend on FlowyML's record."""
        try:
            yield
        except Exception as error:  # any exception: the type depends on FlowyML's store
            warnings.warn(
                f"FlowyML's record of run {self._run_id} could not be written: {error}",
                stacklevel=2,
            )

    def _steps(self, status: RunStatus) -> dict[str, Any]:
        reports, errors = (
            {**unasked_reports(self._pipeline.steps), **status.steps},
            errors_of(status),
        )
        reports.update(approval_reports(status))
        reports.update(sub_pipelines_in(self._pipeline.steps, status.steps))
        declared = {
            step.name: {
                **_outcome(reports[step.name], error_of(step.name, errors)),
                "source_code": step.source_code,
                "inputs": step.inputs,
                "outputs": step.outputs,
                "tags": _as_json(step.tags),
                "execution_group": step.execution_group,
            }
            for step in self._pipeline.steps
        }
        return {**declared, **_expanded(status)}


def recorded_run_id(run_id: str) -> str | None:
    """Return the id of a run in this package for FlowyML's id, or None if it has no record."""
    store = SQLiteMetadataStore(db_path=str(get_config().metadata_db))
    job_id = (store.load_run(run_id) or {}).get("remote_job_id")
    return job_id if isinstance(job_id, str) else None


def _hooks() -> HookRegistry:
    """Return FlowyML's hooks, so that coroutine functions are awaited."""
    hooks = get_global_hooks()
    lists = {field.name: getattr(hooks, field.name) for field in fields(hooks)}
    return replace(hooks, **{name: list(map(awaiting, each)) for name, each in lists.items()})


def _states(status: RunStatus) -> dict[str, StepState]:
    return {name: report.state for name, report in with_sub_runs(status).steps.items()}


def _outcome(report: StepReport, error: str | None) -> dict[str, Any]:
    return {
        "status": step_status(report.state).value,
        "success": report.state.value in ("succeeded", "skipped", "cached"),
        "duration": report.duration_s,
        "cached": report.state is StepState.CACHED,
        "retries": report.retries,
        "error": error,
    }


def _expanded(status: RunStatus) -> dict[str, Any]:
    """Return the steps of the pipelines that dynamic steps have returned, by their paths."""
    whole = with_sub_runs(status)
    errors = errors_of(whole)
    return {
        name: {
            **_outcome(report, errors.get(name)),
            "source_code": "",
            "inputs": [],
            "outputs": [],
            "tags": {},
            "execution_group": None,
        }
        for name, report in whole.steps.items()
        if name not in status.steps
    }


def _graph(dag: Any) -> dict[str, Any]:
    nodes = [
        {"id": node.name, "name": node.name, "inputs": node.inputs, "outputs": node.outputs}
        for node in dag.nodes.values()
    ]
    edges = [
        {"source": source, "target": target}
        for target, sources in dag.edges.items()
        for source in sources
    ]
    return {"nodes": nodes, "edges": edges}


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
