"""Entry point of the runner: read and verify the job spec, run the job, commit its result.

The exit code reports the outcome (see `exit_codes`).

Environment: `FLOWYML_ATTEMPT`, or Batch's `AWS_BATCH_JOB_ATTEMPT`, is the attempt number, from 1;
`AWS_BATCH_JOB_ARRAY_INDEX` is the index of a child of an array job;
`FLOWYML_ATTEMPTS_BEFORE` is the number of attempts before the job moved to its machine;
`FLOWYML_MOVES_ON` lists the causes of failures for which it moves to another one;
`FLOWYML_REPETITIONS` has the repetitions of the job, and of those whose assets it reads, by job;
`AWS_BATCH_JOB_ID` or SageMaker's `TRAINING_JOB_NAME` is the id of this copy of the job (see
`platform` and `claim`); `FLOWYML_USER` is the user of
an image whose containers start as root (see `user`); `FLOWYML_TIMEOUT_GRACE_S` is
the number of seconds that a step has to stop after its timeout.
"""

from __future__ import annotations

import os
import sys
import traceback

from flowyml_aws.core.errors import AwsUnavailableError, FlowymlError
from flowyml_aws.core.imports import uncollected
from flowyml_aws.job.store import start_reads
from flowyml_aws.runtime.argument import parse_argument
from flowyml_aws.runtime.exit_codes import BAD_INPUT, INTERRUPTED, NODE_LOST, STORE_OUTAGE
from flowyml_aws.runtime.interruption import Interrupted, Interruption, NodeLost
from flowyml_aws.runtime.lingering import end_lingering_threads
from flowyml_aws.runtime.log import say, show
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.runtime.user import drop_root
from flowyml_aws.scripts import PROGRAM_VARIABLE

if __name__ != "__main__":
    # A process that forks jobs imports this module before, and everything else that they need.
    with uncollected():
        import flowyml_aws.job.run  # noqa: F401

_LINGER_S = 300.0


def main(arguments: list[str]) -> int:
    """Run the job of a runner's argument (see `specs`), and return the exit code."""
    if len(arguments) != 1:
        say(
            "usage: python -m flowyml_aws.job "
            "<uri of a pack of specs>#sha256=<digest>,bytes=<offset>+<size>, "
            "or <uri of the index of an array>#sha256=<digest>"
        )
        return BAD_INPUT
    os.environ.pop(PROGRAM_VARIABLE, None)  # of a job that started this one
    interruption = Interruption()
    interruption.listen()
    platform = Platform()
    try:
        # As root: infra/ keeps the images' user from the instance metadata.
        platform = Platform.from_environment(os.environ)
        drop_root(os.environ)
        platform.report_folders()
        place = parse_argument(arguments[0], os.environ)
        with uncollected():
            reads = start_reads(place)
            # Imported here: the first requests wait for answers meanwhile.
            from flowyml_aws.job.run import run
        code = run(arguments[0], place, reads, interruption, platform)
        interruption.ignore()
    except NodeLost as error:
        say(f"{error}: the job ends without a result, and can run again")
        platform.report_failure(str(error))
        code = INTERRUPTED if interruption.requested else NODE_LOST
    except Interrupted:
        say("received a stop signal: exiting without a result; completed jobs keep theirs")
        code = INTERRUPTED
    except AwsUnavailableError as error:
        say(f"no step is to blame: the job ends without a result, and can run again\n{error}")
        platform.report_failure(str(error))
        code = INTERRUPTED if interruption.requested else STORE_OUTAGE
    except FlowymlError as error:
        say(f"the job failed without a result\n{error}")
        platform.report_failure(str(error))
        code = BAD_INPUT
    except BaseException:  # of any kind: an unknown error must not look like success
        say("the job failed without a result: unexpected error")
        show(report := traceback.format_exc())
        platform.report_failure(report[-1000:])  # the end contains the error
        code = BAD_INPUT
    end_lingering_threads(code, _LINGER_S)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
