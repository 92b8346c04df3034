"""Trial load: the program is loaded once on the client, as its jobs load it, in its own process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flowyml_aws.code.bindings import Binding
from flowyml_aws.code.states import State
from flowyml_aws.core.errors import PipelineFileError
from flowyml_aws.core.loading import LOADING_VARIABLE
from flowyml_aws.core.modules import is_installed
from flowyml_aws.packaging.bundle import SourceBundle
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.packaging.starting import ProgramStart, start_program
from flowyml_aws.packaging.survey import Survey
from flowyml_aws.planning.environment import environment_in_container
from flowyml_aws.runtime.program import Program
from flowyml_aws.scripts import PROGRAM_VARIABLE

__all__ = [
    "CarriedState",
    "CarriedStates",
    "TrialLoad",
    "TrialRequest",
    "carried_states",
    "environment_of_jobs",
    "environment_of_load",
    "loaded_states",
]

_PACKAGE = Path(__file__).resolve().parents[1]
_TAIL = 2000  # characters of the program's output
# Variables that a job has, too, or that Python itself needs.
_KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "AWS_REGION", "AWS_DEFAULT_REGION")
_UNUSUAL_SEED = "20110219"  # unlike that of the client and of the jobs
_INCLUDE = "list what it reads in the setting `include`"


@dataclass(frozen=True, slots=True)
class CarriedState:
    """A carried value after it was unpickled.

    Attributes:
        digest: SHA-256 of the value, equal to that of the `State` of an equal value.
        users_digest: The same digest, in which objects of packages count by their type only.
        is_comparable: Whether the digest covers the whole value.
    """

    digest: str
    users_digest: str
    is_comparable: bool


CarriedStates = Mapping[Binding, CarriedState | None]
"""States of a job's carried values by name; None for those that can't be read."""


def loaded_states(facts: Sequence[Any]) -> Mapping[Binding, State | None]:
    """Return the states of names from the answer of the process that loaded the program."""
    return {
        Binding(module, name): None if state is None else State(*state)
        for module, name, state in facts
    }


def carried_states(facts: Sequence[Any]) -> CarriedStates:
    """Return the states of carried values from the answer of the process that loaded them."""
    return {
        Binding(module, name): None if state is None else CarriedState(*state)
        for module, name, state in facts
    }


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """Everything that decides the outcome of a trial load.

    Attributes:
        bundle: The bundle that jobs get.
        program: The program.
        root: The project's root on the client.
        in_place: Whether jobs run in the project's folder.
        survey: Names whose values are compared.
        given: Pickled values by name that the script has before its top level runs.
        environment: Environment variables of the jobs.
        limit_s: Time limit in seconds, for the program and for each payload.
    """

    bundle: SourceBundle
    program: Program
    root: Path
    in_place: bool
    survey: Survey
    given: bytes | None
    environment: Mapping[str, str]
    limit_s: float = 60.0


class TrialLoad:
    """A process that loads the program, and then the payload of each job."""

    def __init__(self, request: TrialRequest) -> None:
        self._request = request
        self._end = time.monotonic() + request.limit_s
        self._unanswered: PipelineFileError | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="flowyml-aws-load-")
        folder = Path(self._folder.name).resolve()
        self._job_root = request.root if request.in_place else folder / "code"
        self._output = folder / "output"
        (folder / "bundle").write_bytes(request.bundle.data)
        (folder / "given").write_bytes(request.given or b"")
        with self._output.open("wb") as output:
            self._process = start_program(
                ProgramStart(
                    module="flowyml_aws.runtime.load",
                    arguments=(),
                    cwd=folder,
                    env=environment_of_load(request.environment),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=output,
                )
            )
        self._send(
            {
                "program": asdict(request.program),
                "root": str(self._job_root),
                "bundle": str(folder / "bundle"),
                "given": str(folder / "given") if request.given is not None else None,
                "in_place": request.in_place,
                "hidden": [] if request.in_place else self._hidden_paths(),
                "folders": request.survey.folders,
                "bindings": [
                    [binding.module, binding.name, own.by_source]
                    for binding, own in request.survey.bindings.items()
                ],
                "names": [
                    [owner.module, owner.name, sorted(names)]
                    for owner, names in request.survey.names.items()
                ],
            }
        )

    def states(self) -> Mapping[Binding, State | None]:
        """Return the states of the names; None for those that are missing.

        The names that only the loaded program has follow those of the survey.

        Raises:
            PipelineFileError: The program can't be loaded.
        """
        answer = self._receive()
        if (error := answer["error"]) is not None:
            raise self._load_error(error)
        if outside := self._outside(answer["files"]):
            raise self._outside_error(outside)
        return loaded_states(answer["states"])

    def load(self, payload: StepPayload) -> CarriedStates:
        """Load a payload as its job does, and return what the carried values are there.

        Raises:
            PipelineFileError: A job could not load the payload.
        """
        folder = Path(self._folder.name)
        (folder / "payload").write_bytes(payload.data)
        files = [folder / "payload"]
        for sha256, data in payload.large:
            files.append(folder / sha256)
            if not files[-1].exists():
                files[-1].write_bytes(data)
        # A limit for each payload: their number has none.
        self._end = time.monotonic() + self._request.limit_s
        self._send([str(file) for file in files])
        answer = self._receive()
        if (error := answer["error"]) is None:
            return carried_states(answer["carried"])
        if "what" in error:
            raise PipelineFileError(error["what"], error["why"], error["fix"])
        raise self._load_error(error)

    def close(self) -> None:
        """End the process, and remove its files."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._folder.cleanup()

    def __enter__(self) -> TrialLoad:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hidden_paths(self) -> list[str]:
        """Return the entries of `sys.path` that jobs on other machines do not have."""
        entries = {str(Path(entry or ".").resolve()): entry for entry in sys.path}
        own = str(_PACKAGE.parent)
        return [path for path in entries if not is_installed(Path(path)) and path != own]

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer is missing, too, which is reported

    def _receive(self) -> dict[str, Any]:
        if self._unanswered is not None:
            raise self._unanswered
        assert self._process.stdout is not None
        descriptor, line = self._process.stdout.fileno(), b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0, self._end - time.monotonic()))
            if not ready:
                # A late answer would be read as the answer to the next request.
                self._unanswered = self._error(
                    f"it did not finish within {self._request.limit_s:g} s",
                    'move what runs long under `if __name__ == "__main__":` or into a step, or '
                    "raise the setting load_timeout_s",
                )
                raise self._unanswered
            chunk = os.read(descriptor, 2**16)
            if not chunk:
                code = self._process.wait()
                end = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise self._error(f"its process ended with {end}", self._shown_output())
            line += chunk
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _load_error(self, error: Mapping[str, Any]) -> PipelineFileError:
        place = ""
        if error["place"] is not None:
            file, line = error["place"]
            path = Path(file)
            if path.is_relative_to(self._job_root):
                file = path.relative_to(self._job_root).as_posix()
            place = f"{file}, line {line}: "
        fix = f"{_INCLUDE}, or carry a value with Pipeline(carry=[…])"
        if error["missing"]:
            fix = f"add the module {error['missing']!r} to the project, or to `include`"
        elif (variable := error["message"].strip("'")) in os.environ and not self._request.in_place:
            fix = f"{variable} is set only on this machine: pass it with env={{{variable!r}: …}}"
        elif error["kind"] == "SystemExit":
            fix = 'move what ends the program under `if __name__ == "__main__":`'
        elif self._request.in_place:
            fix = 'move what only this process can do under `if __name__ == "__main__":`'
        return self._error(f"{place}{error['kind']}: {error['message']}", fix)

    def _outside(self, files: Sequence[str]) -> list[str]:
        """Return the user's files that the program read and that jobs do not have."""
        home = Path.home()
        found = []
        for file in files:
            path = Path(file)
            if path.is_relative_to(self._folder.name) or path.is_relative_to(self._job_root):
                continue
            is_setting = path.is_relative_to(home) and str(path.relative_to(home)).startswith(".")
            if is_setting or is_installed(path) or _is_systems(path) or not path.is_file():
                continue
            found.append(file)
        return found

    def _outside_error(self, files: Sequence[str]) -> PipelineFileError:
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        return self._error(
            f"its top level reads files that jobs do not have: {', '.join(files[:3])}{more}",
            f"{_INCLUDE}, read them in a step, or carry what is read with Pipeline(carry=[…])",
        )

    def _error(self, why: str, fix: str) -> PipelineFileError:
        name = self._request.program.script or "the modules of the steps"
        return PipelineFileError(
            what=f"The program can't be loaded as its jobs load it: {name}", why=why, fix=fix
        )

    def _shown_output(self) -> str:
        output = self._output.read_text("utf-8", "replace").strip()[-_TAIL:]
        return f"see its output:\n{output}" if output else "run it with `python` to see why"


def environment_of_jobs(
    in_place: bool, client: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment in which jobs load the program.

    Args:
        in_place: Whether jobs run on this machine, with the client's variables.
        client: Environment variables of the client.
        environment: Environment variables that the user gives all jobs.
    """
    if in_place:
        own = {name: value for name, value in client.items() if name != PROGRAM_VARIABLE}
        return {**own, **environment}
    kept = {name: client[name] for name in _KEPT if name in client}
    return {**kept, **environment_in_container(environment)}


def environment_of_load(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the process that loads the program.

    Args:
        environment: Environment in which jobs load the program.
    """
    return {
        **environment,
        LOADING_VARIABLE: "1",
        "PYTHONHASHSEED": _UNUSUAL_SEED,
        "PYTHONIOENCODING": "utf-8:replace",
        "PYTHONSAFEPATH": "1",
    }


def _is_systems(path: Path) -> bool:
    own = (sys.prefix, sys.base_prefix, str(_PACKAGE))
    if any(path.is_relative_to(folder) for folder in own):
        return True
    roots = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64", "/opt", "/var", "/run")
    is_users = path.is_relative_to("/dev/shm")  # a file system in memory, not a device
    return not is_users and any(path.is_relative_to(root) for root in roots)
