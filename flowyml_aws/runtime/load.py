"""Loads the program once on the client, as a job loads it: `python -m flowyml_aws.runtime.load`.

The client compares the values of this process with its own, and carries those that differ. Then
this process loads each job's payload, so that a failure is found before anything is submitted.

It reads one request as a line of JSON, then lines with the files of a payload each, from standard
input, and answers each with a line of JSON on its original standard output. The program itself has
no standard input, and its output goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from flowyml_aws.core.imports import uncollected

with uncollected():
    from flowyml_aws.code.bindings import Binding
    from flowyml_aws.code.states import BindingReader, State, names_in
    from flowyml_aws.code.values import Encoder, UsersEncoder
    from flowyml_aws.core.errors import FlowymlError
    from flowyml_aws.core.modules import is_installed
    from flowyml_aws.runtime.failures import text_of
    from flowyml_aws.runtime.flowyml_stand_in import stop_flowyml_runs
    from flowyml_aws.runtime.payload import load_payload, read_given, read_payload
    from flowyml_aws.runtime.program import Program, enter_program
    from flowyml_aws.runtime.snapshot import read_snapshot
    from flowyml_aws.runtime.unpacking import unpack
    from flowyml_aws.scripts import stable_name

_CHECK_S = 1.0
_PACKAGE = f"{Path(__file__).parents[1]}/"


def main() -> None:
    """Answer requests until the client closes the pipe."""
    requests, answers = _take_pipes()
    threading.Thread(target=_end_with_client, args=(os.getppid(),), daemon=True).start()
    request = json.loads(requests.readline())
    root = Path(request["root"])
    opened: set[str] = set()
    if not request["in_place"]:
        _record_files(opened)
    answer: dict[str, Any] = _attempt(lambda: _load_program(request, root))
    answer["files"] = sorted(opened)
    opened.clear()
    if answer["error"] is None:
        answer["states"] = [*_states(request, root), *_more_names(request, root)]
    _send(answers, answer)
    for line in requests:
        carried: list[Any] = []
        answer = _attempt(partial(_load, json.loads(line), request, root, carried))
        _send(answers, {**answer, "carried": carried})


def _end_with_client(client: int) -> None:
    """End this process if the client was killed, also while the program hangs."""
    while os.getppid() == client:
        threading.Event().wait(_CHECK_S)
    os._exit(1)


def _take_pipes() -> tuple[TextIO, TextIO]:
    """Return the pipes to the client, and give the program other standard streams."""
    requests, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    return requests, answers


def _load_program(request: dict[str, Any], root: Path) -> None:
    bundle = Path(request["bundle"]).read_bytes()
    snapshot = None
    if request["in_place"]:
        snapshot = read_snapshot(bundle, root)
    else:
        hidden = set(request["hidden"])
        sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) not in hidden]
        root.mkdir()
        unpack(bundle, root, "the bundle")
    stop_flowyml_runs()
    given = request["given"] and Path(request["given"]).read_bytes()
    enter_program(Program.of(request["program"]), root, snapshot, read_given(given))


def _load(files: list[str], request: dict[str, Any], root: Path, carried: list[Any]) -> None:
    """Load a payload, and add the state of each value that it carries."""
    data, *large = (Path(file).read_bytes() for file in files)
    values = load_payload(read_payload(data), large).values
    # Carried strings contain the project's paths on the client.
    links = [folder for folder in request["folders"] if folder != str(root)]
    readers = [
        BindingReader(stable_name, str(root), links=links, encoder=encoder)
        for encoder in (Encoder, UsersEncoder)
    ]
    by_source = {
        (module, name) for module, name, is_by_source in request["bindings"] if is_by_source
    }
    for binding in (value.binding for value in values):
        module, name = binding.module, binding.name
        states = [_state(reader, module, name, (module, name) in by_source) for reader in readers]
        facts = None
        if states[0] is not None and states[1] is not None:
            facts = [states[0].digest, states[1].digest, states[0].is_comparable]
        carried.append([module, name, facts])


def _states(request: dict[str, Any], root: Path) -> Iterator[list[Any]]:
    """Yield each binding of a request with its state, which is None if it is missing."""
    reader = BindingReader(stable_name, str(root))
    for module, name, by_source in request["bindings"]:
        state = _state(reader, module, name, by_source)
        yield [module, name, None if state is None else astuple(state)]


def _more_names(request: dict[str, Any], root: Path) -> Iterator[list[Any]]:
    """Yield the names that a module or class has here but not on the client, with their states."""
    reader = BindingReader(stable_name, str(root))
    for module, owner, names in request["names"]:
        found: Iterable[str] = ()
        with suppress(BaseException):  # importing a module runs the user's code
            found = names_in(Binding(module, owner)).difference(names)
        for name in sorted(found):
            full_name = f"{owner}.{name}" if owner else name
            if (state := _state(reader, module, full_name, by_source=False)) is not None:
                yield [module, full_name, astuple(state)]


def _state(reader: BindingReader, module: str, name: str, by_source: bool) -> State | None:
    try:
        return reader.state(Binding(module, name), by_source)
    except BaseException:  # importing a module runs the user's code: the payload reports it
        return None


def _attempt(call: Callable[[], object]) -> dict[str, Any]:
    try:
        call()
    except FlowymlError as error:
        return {"error": {"what": error.what, "why": error.why, "fix": error.fix}}
    except BaseException as error:  # of any kind: it is the user's code
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if _is_users(frame.filename)]
        place = [own[-1].filename, own[-1].lineno] if own else None
        return {
            "error": {
                "kind": type(error).__name__,
                "message": text_of(error),
                "place": place,
                "missing": getattr(error, "name", None) if isinstance(error, ImportError) else None,
            }
        }
    return {"error": None}


def _is_users(file: str) -> bool:
    if file.startswith((_PACKAGE, "<frozen")):
        return False
    return not is_installed(Path(file))


def _record_files(opened: set[str]) -> None:
    """Record the files that are read, but not those that this process itself wrote before."""
    written: set[str] = set()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes):
            return
        path = str(Path.cwd() / os.fsdecode(arguments[0]))
        if arguments[2] & os.O_CREAT:
            written.add(path)
        elif path not in written:
            opened.add(path)

    sys.addaudithook(hook)


def _send(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    try:
        main()
    finally:
        # Not `sys.exit`: exit handlers and threads of the program are not for this process.
        sys.stderr.flush()
        os._exit(0)
