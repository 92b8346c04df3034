"""One attempt of a job, from loading its code to committing its result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flowyml_aws.artifacts.store import ObjectReader
from flowyml_aws.core.errors import AwsUnavailableError
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.expanding import Expander
from flowyml_aws.runtime.failures import describe_job_failure
from flowyml_aws.runtime.inputs import JobInputs
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.log import say, show
from flowyml_aws.runtime.parts import expand_parts, lists_to_read
from flowyml_aws.runtime.preparation import prepare_code
from flowyml_aws.runtime.result import JobResult, StepFailure
from flowyml_aws.runtime.runner import JobRunner, NodeCalls
from flowyml_aws.runtime.usage import PhaseKind

__all__ = ["run_job", "with_items"]


def run_job(
    attempt: Attempt,
    folder: Path,
    interruption: Interruption,
    grace_s: float,
    resolve_secret: Callable[[str], str],
    nodes: NodeCalls | None = None,
    code: ObjectReader | None = None,
) -> JobResult | Cause:
    """Restore the code, run the steps and commit the result, whether they succeeded or failed.

    Nothing is committed, and the cause is returned, if the plan has a larger machine for the job.

    Args:
        attempt: Attempt to run.
        folder: An empty folder for the code and for assets that are files.
        interruption: Stop request of the platform.
        grace_s: Seconds that a step has to stop after its timeout.
        resolve_secret: Returns the value of a reference to a secret.
        nodes: Other nodes of the job; None if there are none.
        code: Reads the code from the store; the store itself by default.

    Raises:
        Interrupted: The job was asked to stop; nothing is committed.
        AwsUnavailableError: The store did not answer for too long; nothing is committed.
        Exception: The result could not be written.
    """
    spec, store = attempt.spec, attempt.store
    roots = (folder / "code", Path(spec.code.root))
    try:
        payload, changed = prepare_code(
            store, spec, folder, resolve_secret, attempt.sampler.phase, code
        )
        if changed:
            attempt.changed.update(changed)
            say(f"different on this machine than on the client: {', '.join(changed)}")
        attempt = with_items(attempt, folder / "assets")
        if (count := len(attempt.spec.steps)) > len(spec.steps):
            say(f"{count} step(s) with the items of lists that the run has produced")
        runner = JobRunner(
            attempt=attempt,
            steps=payload.steps,
            context=payload.context,
            roots=roots,
            scratch=folder / "assets",
            interruption=interruption,
            grace_s=grace_s,
            nodes=nodes,
            expander=Expander(attempt, payload),
        )
        succeeded = runner.run()
    except AwsUnavailableError:
        raise  # a failure is committed only if it would occur again
    except Exception as error:  # the store, the disk, the code, or a bug in the runner
        interruption.check()
        failure = describe_job_failure(error, roots)
        show(f"the job failed, but not because of a step:\n{failure.text}")
        return _fail(attempt, failure)
    return attempt.commit("succeeded") if succeeded else _fail(attempt)


def with_items(attempt: Attempt, scratch: Path) -> Attempt:
    """Return the attempt with the items of the parts of maps as steps.

    Args:
        attempt: An attempt.
        scratch: Folder for values that are files.

    Raises:
        ListMismatchError: A value is not a list, or lists have different lengths.
        ArtifactNotFoundError, DamagedArtifactError: A list is missing or damaged.
    """
    assets = lists_to_read(attempt.spec)
    if not assets:
        return attempt
    with attempt.sampler.phase(PhaseKind.INPUTS):
        inputs = JobInputs(attempt, scratch)
        lists = {asset: inputs.list_of(asset) for asset in assets}
    known = {asset: stored for asset, stored in lists.items() if stored is not None}
    return attempt.with_spec(expand_parts(attempt.spec, known))


def _fail(attempt: Attempt, failure: StepFailure | None = None) -> JobResult | Cause:
    cause = attempt.cause_of_move(failure)
    if cause is None:
        return attempt.commit("failed", failure)
    say(f"{cause.value}: the job ends without a result, and continues on a larger machine")
    return cause
