"""The program in a process that a step starts: a pool's worker, or another Python.

multiprocessing imports the module that `__main__.__spec__` of a job names, which is this one,
before it unpickles anything. Other pools (loky) import the script by its name as a module. Either
way, the process has the script's functions under their names, the code of the job's snapshot, and
the values that the job was given.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from flowyml_aws.runtime.flowyml_stand_in import prepare_flowyml
from flowyml_aws.runtime.payload import Payload, load_payload, read_given, read_payload
from flowyml_aws.runtime.program import Program, enter_program
from flowyml_aws.runtime.snapshot import read_snapshot
from flowyml_aws.scripts import PROGRAM_VARIABLE

__all__ = ["let_children_load", "load_program"]


def let_children_load(
    program: Program, root: Path, bundle: Path | None, payload: Sequence[Path]
) -> None:
    """Let the processes that this one starts load the program, too.

    Args:
        program: The program.
        root: The project's root in this job.
        bundle: File with the snapshot's bundle, or None.
        payload: Files with the job's payload and its large values.
    """
    facts = {
        "program": asdict(program),
        "root": str(root),
        "bundle": str(bundle) if bundle is not None else None,
        "payload": [str(file) for file in payload],
    }
    os.environ[PROGRAM_VARIABLE] = json.dumps(facts)


def load_program() -> Payload:
    """Load the program of the job that started this process, and return the job's payload."""
    facts = json.loads(os.environ[PROGRAM_VARIABLE])
    root = Path(facts["root"])
    snapshot = None
    if facts["bundle"] is not None:
        snapshot = read_snapshot(Path(facts["bundle"]).read_bytes(), root)
    program = Program.of(facts["program"])

    data, *large = (Path(file).read_bytes() for file in facts["payload"])
    packed = read_payload(data)
    if packed.uses_flowyml:
        prepare_flowyml()

    loaded: list[Payload] = []

    def restore() -> None:
        loaded.append(load_payload(packed, large))

    enter_program(program, root, snapshot, read_given(packed.given), restore)
    if program.script is None:
        restore()
    return loaded[-1]


if __name__ == "__mp_main__":
    load_program()
    # multiprocessing replaces `__main__` by this module.
    globals().update({k: v for k, v in vars(sys.modules["__main__"]).items() if k[:2] != "__"})
