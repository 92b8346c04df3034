"""Retry rules of Batch jobs: what happened to the host or the start is repeated, the rest is not.

Batch evaluates up to five rules after a failed attempt. The first rule whose fields all match
decides, only an asterisk at the end of a pattern is a wildcard, and without a match the job is
retried (AWS Batch API reference, EvaluateOnExit). So the rules name what must not be retried:

| outcome of an attempt | status reason; reason | decided by |
|---|---|---|
| the spot instance was reclaimed | `Host EC2 (instance i-…) terminated.` | no rule: retried |
| the same, but ECS reports first that the runner exited with 143 | `Essential container in task \
exited` | rule 1: retried |
| the runner exited with 144, because its store did not answer | the same | rule 1: retried |
| the main node exited with 145, because another node ended or did not start | the same | rule 1: \
retried |
| ECS does not know how the container ended; its result may exist | `Essential container in task \
exited`; `CannotInspectContainerError: …` | rule 2: retried |
| the container ended with another code, or used too much memory | `Essential container in task \
exited` | rule 3: not retried |
| the image does not exist, or the role may not pull it | `Task failed to start`; \
`CannotPullContainerError: …` | rules 4, 5: not retried |
| a pull, a start or the setup was interrupted: `context canceled`, `i/o timeout`, `503`, \
`DockerTimeoutError`, `ResourceInitializationError` | `Task failed to start` | no rule: retried |

An attempt that ended by TerminateJob or its timeout is never retried, whatever the rules say.

Of a multi-node job, only the exit of the main node counts ("Multi-node parallel jobs" in the user
guide of AWS Batch).

The pattern of an exit code may end with an asterisk, so that one rule retries 143 to 145. It also
matches 14, 140 to 142 and 146 to 149, with which the runner never ends, and a process that is the
first one of its container can't be ended by those signals from inside of it.

A rule that matches exit code `*` is avoided: AWS does not document whether it matches an attempt
without an exit code. The reasons are those of the ECS agent (`ecs-agent/api/errors/
error_messages.go`), of Docker, and of the page "CannotPullContainer task errors in Amazon ECS";
`CannotInspectContainerError` is from nextflow issue 3091. A pattern can't contain quotes, hyphens
or slashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flowyml_aws.runtime.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from mypy_boto3_batch.type_defs import EvaluateOnExitTypeDef

__all__ = ["MAX_ATTEMPTS", "RETRY_RULES"]

MAX_ATTEMPTS = 10
"""Most attempts that Batch allows: only lost hosts and starts that failed by chance use them up."""

RETRY_RULES: Sequence[EvaluateOnExitTypeDef] = (
    {"onExitCode": f"{str(INTERRUPTED)[:2]}*", "action": "RETRY"},  # STORE_OUTAGE, NODE_LOST
    {"onReason": "CannotInspectContainerError*", "action": "RETRY"},
    {"onStatusReason": "Essential container in task exited*", "action": "EXIT"},
    {"onReason": "CannotPullContainerError: Check if image exists*", "action": "EXIT"},
    {
        "onReason": "CannotPullContainerError: Error response from daemon: manifest*",
        "action": "EXIT",
    },
)
