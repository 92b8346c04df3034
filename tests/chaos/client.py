"""A client of a run, as a process: runs, attaches, cancels, collects garbage, or reports.

Its argument is a JSON document. It writes its outcome into a file, unless it dies before.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.httpsession import URLLib3Session

from flowyml_aws import Run
from flowyml_aws.artifacts.layout import EVENTS, RunLayout
from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.core import clock
from flowyml_aws.core.errors import FlowymlError, RunNotFoundError
from flowyml_aws.core.maps import declared_name
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.packaging.project import find_project
from flowyml_aws.runtime.result import read_result
from flowyml_aws.services.connect import account_settings, stores
from flowyml_aws.submission.garbage import collect
from flowyml_aws.submission.record import read_plan, read_record, run_ids
from flowyml_aws.submission.status import JobFailure, RunStatus, failures

__all__ = ["DAMAGED", "main"]

DAMAGED = ".damaged-"
"""Part of the names of the files next to a project, one for each value of it that is damaged."""

SUSPENSION_S = 3  # real: longer than a lease of the submission
_POLLS, _POLL_S = 30, 12
_FULL_S = 2  # real
_STORE_CALLS = ("get", "put", "create", "children", "upload")
_SIGNALS = {
    "KILL": signal.SIGKILL,
    "SUSPEND": signal.SIGSTOP,
    "TERMINATE": signal.SIGTERM,
    "INTERRUPT": signal.SIGINT,
}


def main(order: dict[str, Any]) -> None:
    """Obey an order, and write the outcome."""
    faulthandler.register(signal.SIGUSR1)
    if order.get("skew_s"):
        real_time = time.time
        time.time = lambda: real_time() + order["skew_s"]
    if order.get("fate"):
        _Death(_SIGNALS[order["fate"]], order["at_call"], order["call_arrives"]).prepare()
    try:
        outcome = _ACTIONS[order["action"]](order)
    except FlowymlError as error:
        outcome = {"error": f"{type(error).__name__}: {error}"}
    except Exception:
        outcome = {"bug": traceback.format_exc()}
    file = Path(order["outcome"])
    partial = file.with_suffix(".part")
    partial.write_text(json.dumps(outcome), "utf-8")
    partial.rename(file)


class _Death:
    """Sends this process a signal at one of its calls, whichever thread makes it."""

    def __init__(self, number: signal.Signals, at_call: int, arrives: bool) -> None:
        self._number, self._left, self._arrives = number, at_call, arrives
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Count the calls of AWS, and of a store on this machine."""
        self._wrap(URLLib3Session, "send")
        for name in _STORE_CALLS:
            self._wrap(DirectoryArtifactStore, name)

    def _wrap(self, kind: type, name: str) -> None:
        setattr(kind, name, self._wrapped(getattr(kind, name)))

    def _wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                self._left -= 1
                is_last = self._left == 0
            if is_last and not self._arrives:
                self._die()
            try:
                return call(*arguments, **named)
            finally:
                if is_last and self._arrives:
                    self._die()

        return counted

    def _die(self) -> None:
        pid = os.getpid()
        if self._number == signal.SIGSTOP:
            wake = f"sleep {SUSPENSION_S}; kill -CONT {pid}"
            subprocess.Popen(["/bin/sh", "-c", wake], start_new_session=True)
        os.kill(pid, self._number)


def _run(order: dict[str, Any]) -> dict[str, Any]:
    run = load_pipeline("pipeline.py").submit(backend=order["backend"])
    return _driven(run)


def _attach(_order: dict[str, Any]) -> dict[str, Any]:
    if (run_id := _newest_run()) is None:
        return {"run_id": None}
    return _driven(Run.attach(run_id))


def _driven(run: Run) -> dict[str, Any]:
    run.wait()
    status = run.status()
    return {
        "run_id": run.id,
        "state": status.state.value,
        "failures": [_failure_text(failure) for failure in failures(status)],
        "jobs": {view.job.name: list(view.job.steps) for view in status.jobs},
        "bills": {job: bill.billed_s for job, bill in status.bills.items()},
        "moves": _moves(status),
    }


def _moves(status: RunStatus) -> list[dict[str, Any]]:
    return [
        {
            "job": move.job,
            "number": move.number,
            "cause": move.cause.value,
            "machine": move.machine,
            "losses": move.losses,
        }
        for move in status.moves
    ]


def _failure_text(failure: JobFailure) -> str:
    causes = [f.cause.value for f in (*failure.steps.values(), failure.failure) if f is not None]
    return " | ".join((f"{failure.job}: {failure.reason}", *causes))


def _cancel(_order: dict[str, Any]) -> dict[str, Any]:
    if (run_id := _newest_run()) is not None:
        Run.attach(run_id).cancel()
    return {"run_id": run_id, "cancelled": run_id is not None}


def _gc(_order: dict[str, Any]) -> dict[str, Any]:
    garbage = [collect(store, 0.0, time.time, clock.sleep, dry_run=False) for store in _stores()]
    return {"collected": [run_id for each in garbage for run_id in each.run_ids]}


def _damage(order: dict[str, Any]) -> dict[str, Any]:
    """Overwrite the first stored value that a step reads."""
    for _ in range(_POLLS):
        run_id = _newest_run() or ""
        for store in _stores() if run_id else ():
            for job in read_plan(store, run_id).jobs:
                result = read_result(store, run_id, job.name)
                for name, ref in sorted(result.assets.items() if result is not None else ()):
                    if declared_name(name) not in order["assets"]:
                        # Before the damage: this client may be killed.
                        Path(f"{Path.cwd()}{DAMAGED}{os.getpid()}").touch()
                        store.delete([ref.key])  # the account refuses to overwrite it
                        store.create(ref.key, b"damaged")
                        return {"run_id": run_id, "damaged": name}
        clock.sleep(_POLL_S)
    return {}


def _fill(_order: dict[str, Any]) -> dict[str, Any]:
    full = Path.cwd().with_suffix(".full")
    full.touch()
    time.sleep(_FULL_S)
    full.unlink(missing_ok=True)  # another client may fill it at the same time
    return {"filled": True}


def _resume(_order: dict[str, Any]) -> dict[str, Any]:
    run_id = _newest_run()
    assert run_id is not None
    run = Run.attach(run_id).resume()
    return _driven(run)


def _report(order: dict[str, Any]) -> dict[str, Any]:
    run_id = _newest_run()
    if run_id is None:
        return {"run_id": None}
    run = Run.attach(run_id)
    status = run.status()
    outputs = run.outputs
    return {
        "run_id": run_id,
        "state": status.state.value,
        "jobs": {view.job.name: list(view.job.steps) for view in status.jobs},
        "committed": {
            view.job.name: [s.name for s in view.result.steps if s.state.value == "succeeded"]
            for view in status.jobs
            if view.result is not None
        },
        "started": [name for name in run.jobs if _has_started(run, name)],
        "steps": {name: step.state.value for name, step in status.steps.items()},
        "outputs": {name: outputs[name] for name in order["assets"] if name in outputs},
        "bills": {job: bill.billed_s for job, bill in status.bills.items()},
        "moves": _moves(status),
        "targets": {view.job.name: view.job.target for view in status.jobs},
    }


def _has_started(run: Run, job: str) -> bool:
    """Return whether a job has begun an attempt, which then has events.

    A run that continues another one writes attempt 0, and `cancel` claims attempts of jobs.
    """
    layout = RunLayout(run.id)
    return any(
        int(number) > 0 and EVENTS in store.children(layout.attempt(job, int(number), ""))
        for store in _stores()
        for number in store.children(layout.attempts(job))
    )


_ACTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "run": _run,
    "attach": _attach,
    "cancel": _cancel,
    "gc": _gc,
    "damage": _damage,
    "fill the disk": _fill,
    "resume": _resume,
    "report": _report,
}


def _stores() -> list[Any]:
    project = find_project([]).root
    return list(dict.fromkeys(stores(account_settings(project), project).values()))


def _newest_run() -> str | None:
    name = json.loads(Path("shape.json").read_text("utf-8"))["name"]
    for store in _stores():
        for run_id in run_ids(store):  # newest first
            if not run_id.startswith(f"{name}-"):
                continue
            with suppress(RunNotFoundError):  # its client died before it wrote the record
                read_record(store, run_id)
                return run_id
    return None


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
