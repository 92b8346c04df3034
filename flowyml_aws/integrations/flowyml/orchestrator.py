"""FlowyML orchestrator that runs the groups of a pipeline as jobs and waits for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from flowyml.core.execution_status import ExecutionStatus
from flowyml.core.remote_orchestrator import RemoteOrchestrator

from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.spelling import did_you_mean

if TYPE_CHECKING:
    from flowyml.core.pipeline import Pipeline, PipelineResult

    from flowyml_aws.client.options import BackendSpec, RunKeywords
    from flowyml_aws.client.run import Run

__all__ = ["FlowymlAws"]

_LIMITS = ("max_price_usd_hour", "max_cost_usd")
_OPTIONS = ("backend", "store_all", "progress", *_LIMITS, "allow_pickle")
_RUN_OPTIONS = ("refresh", *_LIMITS, "allow_pickle")


class FlowymlAws(RemoteOrchestrator):  # type: ignore[misc]  # FlowyML ships no types
    """Runs FlowyML pipelines as jobs, one per group.

    Invalid options are reported when a pipeline is run: if an orchestrator cannot be created,
    FlowyML silently runs the pipeline on this machine instead.

    Attributes:
        backend: Same as in `RunOptions`, but the default is `batch`: FlowyML itself runs pipelines
            on this machine.
        store_all: Whether values that pass between the steps of a group are stored, too, so that
            they are outputs of the result.
        progress: Whether progress is printed to standard error.
        max_price_usd_hour, max_cost_usd, allow_pickle: Same as in `RunOptions`.
    """

    def __init__(
        self,
        backend: BackendSpec = "batch",
        store_all: bool = False,
        progress: bool = True,
        max_price_usd_hour: float | None = None,
        max_cost_usd: float | None = None,
        allow_pickle: bool | None = None,
        name: str = "flowyml_aws",
        **unknown: Any,
    ) -> None:
        super().__init__(name)
        self.backend = backend
        self.store_all = store_all
        self.progress = progress
        self.max_price_usd_hour = max_price_usd_hour
        self.max_cost_usd = max_cost_usd
        self.allow_pickle = allow_pickle
        self._unknown = unknown
        self._runs: dict[str, Run] = {}

    def validate(self) -> bool:
        """Return True if the options are valid.

        Raises:
            SettingsError: An option is unknown or invalid.
        """
        _refuse_unknown(self._unknown, _OPTIONS, "the orchestrator flowyml_aws")
        if not isinstance(self.backend, str | Mapping):
            raise _invalid("backend", self.backend, "a string, or a mapping of groups to backends")
        for option in ("store_all", "progress", "allow_pickle"):
            value = getattr(self, option)
            if not isinstance(value, bool) and (option != "allow_pickle" or value is not None):
                raise _invalid(option, value, "true or false")
        for option in _LIMITS:
            value = getattr(self, option)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float)
            ):
                raise _invalid(option, value, "a number of US dollars")
        return True

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "type": "flowyml_aws", "backend": self.backend}

    def run_pipeline(
        self,
        pipeline: Pipeline,
        run_id: str,
        resources: Any = None,
        docker_config: Any = None,
        inputs: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        retry_policy: Any = None,
        **options: Any,
    ) -> PipelineResult:
        """Run a pipeline and wait until it ends. A failed step makes `success` of the result False.

        Args:
            pipeline: FlowyML pipeline.
            run_id: FlowyML's id of the run.
            resources: Requirements of the steps that declare none: a `ResourceConfig` of FlowyML,
                or resources as a step declares them.
            docker_config: Rejected: the image is a setting.
            inputs: Values of external inputs.
            context: Parameter values of this run, which FlowyML has already added to the pipeline's
                context.
            retry_policy: Retries of the steps that declare none: an `OrchestratorRetryPolicy`.
            **options: `refresh`, `max_price_usd_hour`, `max_cost_usd`, `allow_pickle`, same as in
                `RunOptions`.

        Raises:
            InvalidPipelineError: With every mistake and every unsupported feature; nothing was
                submitted.
            FlowymlError: An option is invalid.
        """
        from flowyml_aws.integrations.flowyml.adapter import pipeline_of
        from flowyml_aws.integrations.flowyml.control_flows import conditional_steps
        from flowyml_aws.integrations.flowyml.record import LiveRecord
        from flowyml_aws.integrations.flowyml.results import flowyml_result
        from flowyml_aws.integrations.flowyml.run_defaults import defaults_of
        from flowyml_aws.view import watching

        self.validate()
        _refuse_run_arguments(docker_config, options)
        inputs = inputs or {}
        run_defaults = defaults_of(resources, retry_policy)
        adapted = pipeline_of(pipeline, inputs, self.store_all, context or (), run_defaults)
        defaults: RunKeywords = {
            "backend": self.backend,
            "inputs": inputs,
            "context": context,
            "cache": pipeline.enable_cache,
            "max_price_usd_hour": self.max_price_usd_hour,
            "max_cost_usd": self.max_cost_usd,
            "allow_pickle": self.allow_pickle,
        }
        run = adapted.submit(**{**defaults, **options})
        self._runs[run_id] = run
        record = LiveRecord(pipeline, run_id, run)
        record.begin()
        with watching(run) if self.progress else nullcontext() as show:
            outcome = run.wait(record.watcher(show))
        result = flowyml_result(
            outcome, run_id, pipeline.steps, conditional_steps(adapted.all_steps)
        )
        result.attach_configs(resources, docker_config)
        record.end(result)
        return result

    def get_run_status(self, run_id: str) -> ExecutionStatus:
        """Return the status of a run.

        Args:
            run_id: FlowyML's id of the run, or its id in `flowyml-aws runs`. The same applies to
                the other methods.

        Raises:
            RunNotFoundError: The run does not exist.
        """
        from flowyml_aws.integrations.flowyml.results import run_status

        return run_status(self._run(run_id).status().state)

    def fetch_step_statuses(self, run_id: str) -> dict[str, ExecutionStatus]:
        """Return the status of each step of a run. An approval that waits is running.

        The steps of a pipeline that a dynamic step has returned have its name before theirs.
        """
        from flowyml_aws.integrations.flowyml.approvals import approval_reports
        from flowyml_aws.integrations.flowyml.results import step_status
        from flowyml_aws.submission.whole_status import with_sub_runs

        status = self._run(run_id).status()
        reports = {**with_sub_runs(status).steps, **approval_reports(status)}
        return {name: step_status(report.state) for name, report in reports.items()}

    def get_run_logs(self, run_id: str) -> str:
        """Return the output of the jobs so far, job by job."""
        return "\n".join(line.message for line in self._run(run_id).logs())

    def stop_run(self, run_id: str, graceful: bool = True) -> None:
        """Cancel a run: running jobs are stopped, and waiting jobs do not start.

        Args:
            run_id: Same as in `get_run_status`.
            graceful: Ignored: jobs always get time to stop.
        """
        self._run(run_id).cancel()

    def approve(self, run_id: str, step: str | None = None, comment: str | None = None) -> None:
        """Approve an approval that a run waits for.

        Args:
            run_id: Same as in `get_run_status`.
            step: Name of the approval; None if only one waits.
            comment: Comment for readers of the run.

        Raises:
            ApprovalError: The run has no such approval, or it does not wait for an answer.
        """
        self._run(run_id).approve(step, comment)

    def reject(self, run_id: str, step: str | None = None, comment: str | None = None) -> None:
        """Reject an approval that a run waits for, so that the run fails.

        Args:
            run_id: Same as in `get_run_status`.
            step: Same as in `approve`.
            comment: Same as in `approve`.

        Raises:
            ApprovalError: The run has no such approval, or it does not wait for an answer.
        """
        self._run(run_id).reject(step, comment)

    def _run(self, run_id: str) -> Run:
        from flowyml_aws.client.run import Run
        from flowyml_aws.integrations.flowyml.record import recorded_run_id

        return self._runs.get(run_id) or Run.attach(recorded_run_id(run_id) or run_id)


def _refuse_run_arguments(docker_config: Any, options: Mapping[str, Any]) -> None:
    if docker_config is not None:
        raise SettingsError(
            what="run(docker_config=…) is not supported by the orchestrator flowyml_aws",
            why="the image of jobs is a setting",
            fix="set the image with the setting `image`",
        )
    _refuse_unknown(options, _RUN_OPTIONS, "run() with the orchestrator flowyml_aws")


def _refuse_unknown(options: Mapping[str, Any], known: Collection[str], owner: str) -> None:
    # FlowyML renames these options when it reads flowyml.yaml.
    names = {"project_id": "project", "bucket_name": "bucket"}
    for option in set(options).difference(known):
        raise SettingsError(
            what=f"Unknown option {names.get(option, option)!r} of {owner}",
            why=f"its options are {', '.join(known)}; buckets, queues, roles and images are "
            "settings of flowyml-aws",
            fix=did_you_mean(option, known, "remove it; see docs/flowyml.md"),
        )


def _invalid(option: str, value: Any, expected: str) -> FlowymlError:
    return SettingsError(
        what=f"Invalid value {value!r} for option {option!r} of the orchestrator flowyml_aws",
        why=f"it must be {expected}",
        fix="correct it in flowyml.yaml, or where FlowymlAws(…) is created",
    )
