"""The function of a step with its arguments, in a process that does not run the job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.lazy.handle import Lazy
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.event_loop import EventLoop
from flowyml_aws.core.skipped import Skipped
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.data_folders import OpenPrefixes
from flowyml_aws.runtime.failures import describe_step_failure
from flowyml_aws.runtime.forks import call_in_this_process
from flowyml_aws.runtime.inputs import JobInputs
from flowyml_aws.runtime.job_values import JobValues
from flowyml_aws.runtime.nodes.messages import NodeCall
from flowyml_aws.runtime.payload import Payload
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.runtime.result import StepFailure
from flowyml_aws.runtime.step_calls import StepCalls

__all__ = ["bind_function", "describe_failure"]


def bind_function(
    call: NodeCall,
    payload: Payload,
    store: ArtifactStore,
    platform: Platform,
    scratch: Path,
    roots: Sequence[Path],
    open_prefixes: OpenPrefixes,
) -> Callable[[], Any]:
    """Load the inputs of a call. Return its function, which then needs no arguments.

    Args:
        call: Call of the main node.
        payload: Steps and context values of the job.
        store: Store that holds the run.
        platform: Platform that runs this process.
        scratch: Folder for inputs that are files.
        roots: The project's folders, stripped from tracebacks.
        open_prefixes: Opens prefixes of S3.

    Raises:
        ArtifactNotFoundError: An input does not exist.
        DamagedArtifactError: An input is damaged.
    """
    (spec,) = call.spec.steps
    attempt = Attempt.begin(call.spec, store, platform.attempt, platform, open_prefixes)
    attempt.assets.update(call.assets)
    attempt.skipped.update(call.skipped)
    attempt.dropped.update(call.dropped)
    inputs = JobInputs(attempt, scratch)
    step_call = StepCalls.of(payload.steps[spec.function], spec).function
    causes = {asset: inputs.cause_of_absence(asset) for asset in step_call.assets.reads}
    assets: dict[str, Any] = {
        asset: Skipped(asset, cause) for asset, cause in causes.items() if cause is not None
    }
    existing = causes.keys() - assets.keys()
    lazy = step_call.arguments.lazy_assets & existing
    assets |= inputs.load([asset for asset in step_call.assets.reads if asset in existing - lazy])
    assets |= {asset: inputs.handle(asset) for asset in lazy}
    values = JobValues("context", [step_call.context])
    values.add(dict(payload.context), are_kept=True)
    context = values.lend(step_call.context)
    for name in step_call.arguments.lazy_context & context.keys():
        context[name] = Lazy.of(context[name], name)

    def function() -> Any:
        with EventLoop() as loop:
            value = call_in_this_process(
                lambda: loop.result(step_call.arguments.call(step_call.function, assets, context)),
                roots,
            )
            loop.finish()
            return value

    return function


def describe_failure(
    error: BaseException, place: str, roots: Sequence[Path], kills_before: int | None
) -> StepFailure:
    """Describe an exception of a step in this process, with its place.

    Args:
        error: The exception, as caught.
        place: Description of this process, such as `node 2`.
        roots: The project's folders, stripped from tracebacks.
        kills_before: `oom_kills` when the step began, or None.
    """
    failure = describe_step_failure(error, roots, kills_before=kills_before)
    return failure.model_copy(
        update={
            "message": f"{place}: {failure.message}",
            "traceback": f"On {place}:\n{failure.text}",
        }
    )
