"""Export of the logged values of a run to MLflow, if the environment configures it.

A client does it at the end of `Run.wait`, so jobs need neither MLflow nor its credentials.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.caching.run_keys import read_keys
from flowyml_aws.runtime.logged import StepLogged
from flowyml_aws.submission.logged import RunLogged
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus

__all__ = ["RUN_TAG", "export_to_mlflow"]

RUN_TAG = "flowyml_aws.run_id"
"""Tag of runs of MLflow, by which an export finds that it was already made."""

_URI, _EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
_BATCH = 1000  # metrics in a request, the limit of MLflow's REST API (Log Batch)
_PARAMETERS = 100  # the same for parameters
_STATES = {
    RunState.SUCCEEDED: "FINISHED",
    RunState.FAILED: "FAILED",
    RunState.CANCELLED: "KILLED",
}


def export_to_mlflow(store: ArtifactStore, status: RunStatus) -> None:
    """Export a run that has ended, unless it is already exported or has logged nothing.

    No-op without the variable `MLFLOW_TRACKING_URI`. An error is logged as a warning.

    Args:
        store: Store of the run.
        status: Status of the run.
    """
    if not os.environ.get(_URI):
        return
    logger = logging.getLogger("flowyml_aws")
    try:
        logged = RunLogged(store, status)
        if not logged:
            return
        try:
            mlflow: Any = importlib.import_module("mlflow")
        except ImportError:
            logger.warning(
                "%s is set, but mlflow is not installed: pip install 'flowyml-aws[mlflow]'", _URI
            )
            return
        _export(mlflow, status, logged, _parameters(store, status.run_id))
    except Exception as error:  # MLflow has many; the run has ended, and its result counts
        logger.warning("run %s was not exported to MLflow: %s", status.run_id, error)


def _export(
    mlflow: Any, status: RunStatus, logged: Mapping[str, StepLogged], parameters: Mapping[str, str]
) -> None:
    client = mlflow.MlflowClient()
    name = os.environ.get(_EXPERIMENT) or status.pipeline
    experiment = client.get_experiment_by_name(name)
    experiment_id = client.create_experiment(name) if experiment is None else None
    if experiment is not None:
        experiment_id = experiment.experiment_id
        exported = f"tags.`{RUN_TAG}` = '{status.run_id}' and attributes.status != 'RUNNING'"
        if client.search_runs([experiment_id], exported, max_results=1):
            return
    run = client.create_run(
        experiment_id,
        start_time=round(1000 * status.created_at),
        run_name=status.run_id,
        tags={RUN_TAG: status.run_id, "flowyml_aws.backend": status.backend},
    )
    run_id = run.info.run_id
    state = "FAILED"  # of an export that is not complete
    try:
        params = [mlflow.entities.Param(key, text) for key, text in parameters.items()]
        for start in range(0, len(params), _PARAMETERS):
            client.log_batch(run_id, params=params[start : start + _PARAMETERS])
        metrics = [mlflow.entities.Metric(*point) for point in _points(logged)]
        for start in range(0, len(metrics), _BATCH):
            client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        with tempfile.TemporaryDirectory() as folder:
            if _write_files(Path(folder), logged):
                client.log_artifacts(run_id, folder)
        state = _STATES[status.state]
    finally:
        with suppress(Exception):
            ended_at = status.ended_at or status.created_at
            client.set_terminated(run_id, state, end_time=round(1000 * ended_at))


def _points(logged: Mapping[str, StepLogged]) -> Iterator[tuple[str, float, int, int]]:
    """Yield the points of all metrics: name, value, milliseconds since the epoch, position."""
    for step, values in logged.items():
        for name, series in values.metrics.items():
            key = f"{_safe(step, ' /')}/{name}"
            for position, value, time in zip(
                series.steps, series.values, series.times, strict=True
            ):
                yield key, value, round(1000 * time), position


def _write_files(folder: Path, logged: Mapping[str, StepLogged]) -> bool:
    """Write images, tables and strings into one folder for each step. Return whether any exists."""
    files: dict[Path, bytes] = {}
    for step, values in logged.items():
        parent = folder / _safe(step)
        for name, image in values.images.items():
            ending = image.media_type.partition("/")[2]
            files[parent / f"{_safe(name)}.{ending}"] = image.content
        for name, table in values.tables.items():
            facts = {"columns": table.columns, "data": table.rows}
            files[parent / f"{_safe(name)}.json"] = json.dumps(facts).encode()
        for name, text in values.texts.items():
            files[parent / f"{_safe(name)}.txt"] = text.text.encode()
    for path, data in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return bool(files)


def _safe(name: str, more: str = "") -> str:
    """Return a name without characters that have a meaning in paths and names of MLflow."""
    return re.sub(rf"[^\w\-{more}]", "_", name)[:100]


def _parameters(store: ArtifactStore, run_id: str) -> Mapping[str, str]:
    keys = read_keys(store, run_id)
    return keys.parameters if keys is not None else {}
