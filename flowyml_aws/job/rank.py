"""A process that torchrun starts: it calls the function of a step.

The runner of the node has written the call into the folder that is the argument, and reads from
there what the process of rank 0 returns, or how one failed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import cloudpickle

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.job.store import open_prefixes, open_store, resolve_secret
from flowyml_aws.runtime.child import load_program
from flowyml_aws.runtime.log import show
from flowyml_aws.runtime.nodes.function import bind_function, describe_failure
from flowyml_aws.runtime.nodes.messages import NodeCall, Outcome
from flowyml_aws.runtime.nodes.torchrun import CALL, RETURNED, failure_file
from flowyml_aws.runtime.out_of_memory import oom_kills
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.runtime.secrets import provide_secrets

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Call the function of the call in a folder, and return the exit code."""
    folder = Path(arguments[0])
    rank = int(os.environ["RANK"])
    call = read_document(NodeCall, (folder / CALL).read_bytes(), str(folder / CALL))
    spec = call.spec
    roots = (folder.parents[1] / "code", Path(spec.code.root))
    kills = oom_kills()
    scratch = folder / f"rank-{rank}"
    try:
        provide_secrets(spec.secrets, resolve_secret)
        payload = load_program()
        store = open_store(spec.store, spec.store_wait_s)
        platform = Platform.from_environment(os.environ)
        returned = bind_function(call, payload, store, platform, scratch, roots, open_prefixes)()
        if rank == 0:
            (folder / RETURNED).write_bytes(cloudpickle.dumps(returned))
    except BaseException as error:  # the user's code may raise anything, even SystemExit
        failure = describe_failure(error, f"rank {rank}", roots, kills)
        outcome = Outcome(number=call.number, state="failed", at=time.time(), failure=failure)
        (folder / failure_file(rank)).write_bytes(outcome.to_json())
        show(failure.text)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
