"""Expected values and executions of a run, by the rules in `tests/caching/test_properties.py`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.caching_machine import CompletedRun, Machine
from tests.support.edited import EXTERNAL_INPUTS, Pipe, Task

__all__ = ["Oracle", "Outcome", "Past", "check_values"]


class Outcome(NamedTuple):
    """The assets that the latest run of an execution stored, each with the key of its object."""

    run: int
    step: str
    assets: Mapping[str, str]


NO_OUTCOME = Outcome(0, "", {})


@dataclass
class Past:
    """The state that earlier runs left in the store.

    Attributes:
        outcomes: Outcomes by execution.
        objects: Key of each stored object → the assets in it: those of equal values, and those
            that a step stored at the same time.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    objects: dict[str, set[str]] = field(default_factory=dict)

    def add_object(self, asset: str, key: str) -> None:
        self.objects.setdefault(key, set()).add(asset)


class Oracle:
    """Decides which steps a run executes, from the pipeline and the values of plain functions."""

    def __init__(self, pipe: Pipe, contents: Mapping[str, str], past: Past) -> None:
        self.pipe, self.contents, self.past = pipe, contents, past
        self.tasks = {task.name: task for task in pipe.tasks}
        self.producers = {asset: task for task in pipe.tasks for asset in task.assets}
        self._executions: dict[str, str | None] = {}

    def with_downstream(self, names: Collection[str]) -> set[str]:
        """Return the steps with these names, and all steps that depend on them."""
        selected = set(names)
        for task in self.pipe.tasks:
            if any(a in self.producers and self.producers[a].name in selected for a in task.reads):
                selected.add(task.name)
        return selected

    def read_by_content(self, reader: Task) -> list[str]:
        """Return the assets that the task reads and compares by their content."""
        by_content = [t.name for t in self.pipe.tasks if t.rule in ("input_hash", False)]
        downstream = self.with_downstream(by_content)
        return [
            asset
            for asset in reader.reads
            if reader.rule == "input_hash"
            or asset in EXTERNAL_INPUTS
            or self.producers[asset].name in downstream
        ]

    def execution(self, task: Task) -> str | None:
        """Return an identifier of the execution; None if an asset that it reads is skipped."""
        if task.name not in self._executions:
            self._executions[task.name] = self._execution(task)
        return self._executions[task.name]

    def _execution(self, task: Task) -> str | None:
        by_content = self.read_by_content(task)
        assets: list[tuple[str, str | None]] = []
        for asset in task.reads:
            known = self.contents.get(asset)
            if asset not in by_content:
                known = None if known is None else self.execution(self.producers[asset])
            if known is None:
                return None
            assets.append((asset, known))
        code = tuple(task._replace(rule=None, group=None, comments=0))
        helper = self.pipe.helpers[task.helper] if task.helper is not None else None
        values = [(name, self.pipe.values[name]) for name in task.context]
        facts = (code, helper, values, self.pipe.returned(task), assets)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def outcome(self, task: Task) -> Outcome | None:
        execution = self.execution(task)
        if execution is None or task.rule is False:
            return None
        return self.past.outcomes.get(execution)

    def pending(self, forced: Collection[str]) -> set[str]:
        """Return the steps that are not known to be in the cache before the run.

        Args:
            forced: Steps that cannot be taken from the cache.
        """
        pending: set[str] = set()
        while True:
            found = self._found_before_the_run(pending, forced)
            more = self._pending_without(found)
            if more == pending:
                return pending
            pending = more  # the contents of their assets are no longer known

    def _found_before_the_run(
        self, pending: Collection[str], forced: Collection[str]
    ) -> dict[str, Outcome]:
        found: dict[str, Outcome] = {}
        for task in self.pipe.tasks:
            contents = [a for a in self.read_by_content(task) if a in self.producers]
            known = all(
                self.producers[asset].name not in pending
                and asset in found.get(self.producers[asset].name, NO_OUTCOME).assets
                for asset in contents
            )
            outcome = self.outcome(task)
            if known and outcome is not None and task.name not in forced:
                found[task.name] = outcome
        return found

    def _pending_without(self, found: Mapping[str, Outcome]) -> set[str]:
        read = {asset for task in self.pipe.tasks for asset in task.reads}
        needed = [a for t in self.pipe.tasks for a in t.assets if a not in read or t.rule is False]
        pending: set[str] = set()
        while needed:
            asset = needed.pop()
            task = self.producers[asset]
            key = found.get(task.name, NO_OUTCOME).assets.get(asset)
            if task.name in pending or key in self.past.objects:
                continue
            pending.add(task.name)
            needed += [read for read in task.reads if read not in EXTERNAL_INPUTS]
        return pending

    def check(
        self, run: CompletedRun, pending: Collection[str], forced: Collection[str], number: int
    ) -> None:
        """Check in running order which steps were executed, and record their outcomes."""
        called = [call.step for call in run.calls]
        assert len(called) == len(set(called)), "a step was executed twice"
        missing, needless = set(pending) - set(run.order), set(called) - set(pending)
        assert not missing, f"the jobs do not contain {_names(missing)}, which must run"
        assert not needless, f"{_names(needless)} must come from the cache, but was executed"
        for task in (self.tasks[name] for name in run.order if name in pending):
            if any(asset not in self.contents for asset in task.assets):
                assert task.name not in called, f"{task.name} must be skipped, but was executed"
                continue
            if task.name not in forced and self._is_found_by_job(task, pending):
                assert task.name not in called, (
                    f"the job of {task.name} must find it in the cache, but executed it"
                )
                continue
            assert task.name in called, f"{task.name} must run, but was not executed"
            stored = {asset: run.refs[asset].key for asset in run.stored[task.name]}
            for asset, key in stored.items():
                self.past.add_object(asset, key)
            execution = self.execution(task)
            if stored and task.rule is not False and execution is not None:
                self.past.outcomes[execution] = Outcome(number, task.name, stored)

    def _is_found_by_job(self, task: Task, pending: Collection[str]) -> bool:
        by_content = [self.producers.get(asset) for asset in self.read_by_content(task)]
        outcome = self.outcome(task)
        return (
            any(producer is not None and producer.name in pending for producer in by_content)
            and outcome is not None
            and all(outcome.assets.get(a) in self.past.objects for a in task.assets)
        )


def _names(steps: Collection[str]) -> str:
    return ", ".join(sorted(steps))


def check_values(
    machine: Machine, pipe: Pipe, run: CompletedRun, direct: Mapping[str, Any]
) -> None:
    """Check that the run has the values of the plain functions, and that none is missing."""
    for asset in run.refs:
        value, expected = repr(machine.value(run, asset)), repr(direct.get(asset))
        assert value == expected, f"the run has {asset} = {value}, the functions give {expected}"
    called = {call.step for call in run.calls}
    read = {asset for task in pipe.tasks for asset in task.reads}
    for task in pipe.tasks:
        for asset in task.assets:
            if asset not in direct:
                assert asset not in run.refs, f"{asset} of a skipped step has a value"
                assert asset in run.skipped or asset in read, f"{asset} is not reported as skipped"
            elif asset not in read or (task.name in called and task.rule):
                assert asset in run.refs, f"{asset} is not stored"
