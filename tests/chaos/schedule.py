"""Schedules: a pipeline, its clients, and everything that goes wrong, drawn from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from random import Random
from typing import Literal

__all__ = [
    "BACKENDS",
    "Action",
    "Client",
    "Expiry",
    "Fate",
    "ItemMap",
    "JobLoss",
    "Loss",
    "Outage",
    "Schedule",
    "Shortage",
    "Task",
    "Trouble",
    "describe",
    "draw_schedule",
    "fraction",
    "length_of",
]

BACKENDS = ("local", "batch", "sagemaker")
_GROUPS = (None, None, "x", "y")
_OUTAGES_S = (10, 60, 300, 560)  # jobs wait for 600 s
_WAITS_S = (60, 120, 600)
_SHORTAGES_S = (*_WAITS_S, None, None, None)
_LONGEST_SKEW_S = 240  # clients whose clocks are 5 minutes wrong are refused by AWS


class Action(Enum):
    """The command of a client."""

    RUN = "run"
    ATTACH = "attach"
    CANCEL = "cancel"
    GC = "gc"
    DAMAGE = "damage"
    """Overwrites a stored value that a step reads."""
    FILL = "fill the disk"
    """Fills the disk of the store for two seconds, on this machine."""


class Fate(Enum):
    """A fault of the process of a client at one of its calls."""

    KILL = "is killed (SIGKILL)"
    SUSPEND = "is suspended for 3 s (SIGSTOP, SIGCONT)"
    TERMINATE = "is ended (SIGTERM)"
    INTERRUPT = "is interrupted (SIGINT)"


class Trouble(Enum):
    """A fault in the first execution of a step. The run fails, unless the step is retried."""

    RAISE = "raises an exception"
    KILL = "kills its process"
    DISK = "finds the disk full"
    HANG = "exceeds its time limit"
    STUCK = "exceeds its time limit and can't be stopped"


class Loss(Enum):
    """A fault that ends the container of a job."""

    HOST = "loses its host"
    MEMORY = "exceeds its memory"


@dataclass(frozen=True, slots=True)
class ItemMap:
    """The items for which a step runs.

    Attributes:
        over: Number of the step whose output it maps over; None for a list of the context.
        length: Number of items of the list of the context.
        items_per_job: Declared number of items of a job, or None.
        expect: Number of items to plan for if another step returns the list, or None.
        rule: Rule for failed items.
        item: Index of the item to which the faults of the step happen; the others have none.
        drops: Whether each execution of this item fails.
    """

    over: int | None = None
    length: int = 0
    items_per_job: int | None = None
    expect: int | None = None
    rule: Literal["finish", "drop"] = "finish"
    item: int = 0
    drops: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A step.

    Attributes:
        reads: Numbers of the steps whose outputs it reads.
        group: Execution group, or None.
        failures: Number of executions that fail with the step's own exception; all are retried.
        trouble: Fault of its first execution, or None. A job kills its process only on this
            machine: to a service, this is the same as too little memory.
        returns: Length of the list that it returns; None for a number.
        items: Items for which it runs; None if it runs once.
        branch: Number of a step and the parity of its output with which this step runs; None if
            it always does.
    """

    reads: tuple[int, ...] = ()
    group: str | None = None
    failures: int = 0
    trouble: Trouble | None = None
    returns: int | None = None
    items: ItemMap | None = None
    branch: tuple[int, Literal["0", "1"]] | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """A client, which is a process of its own.

    Attributes:
        run: Number of the run: the clients of a run share a project.
        after_steps: It starts when this many steps have started, or all earlier clients have ended.
        skew_s: Seconds by which its clock is ahead.
        fate: Fault of its process, or None.
        at_call: Number of the call, of the store or a service, at which that happens.
        call_arrives: Whether this call still takes effect.
        expires_at: Number of its call of AWS from which on its credentials have expired; 0 for
            never.
    """

    run: int
    action: Action
    after_steps: int = 0
    skew_s: int = 0
    fate: Fate | None = None
    at_call: int = 0
    call_arrives: bool = False
    expires_at: int = 0


@dataclass(frozen=True, slots=True)
class JobLoss:
    """The loss of the container of a job while it makes a call of its store.

    Attributes:
        job: Name of the job. Of the jobs of a group that is split, the first one that gets there.
        at_call: Number of the call, counted over all attempts.
    """

    job: str
    at_call: int
    kind: Loss = Loss.HOST


@dataclass(frozen=True, slots=True)
class Outage:
    """An outage of the store for everyone, from the moment that a job commits its result.

    Attributes:
        seconds: Seconds of the code under test.
    """

    job: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Expiry:
    """Credentials of a job that have expired, and are renewed later.

    Attributes:
        at_call: Number of the first call with expired credentials, counted as by `JobLoss`.
        seconds: Seconds of the code under test until they are renewed.
    """

    job: str
    at_call: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """A time without capacity, in which no job gets a machine. Jobs that have one keep it.

    Attributes:
        capacity: Kind of the capacity.
        after_steps: It begins when this many steps of all runs have started.
        seconds: Seconds of the code under test; None if it lasts until the clients have ended.
    """

    capacity: Literal["spot", "on-demand"]
    after_steps: int = 0
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that happens, as far as it does not depend on the speed of the machine.

    Attributes:
        runs: Number of runs of the pipeline; the second one starts while the first one runs.
        fault_rate: Fraction of the calls of AWS that are broken.
        failed_starts: Number of starts of containers that fail.
        failed_launches: Number of training jobs on demand that fail with a CapacityError.
        has_spot: Whether there is spot capacity, which is preferred, and which jobs leave if they
            lose two hosts or get none for too long.
        shortages: Times without capacity.
        services_skew_s: Seconds by which the clocks of the services are ahead.
    """

    seed: int
    backend: str
    tasks: tuple[Task, ...]
    clients: tuple[Client, ...]
    runs: int = 1
    fault_rate: float = 0.0
    losses: tuple[JobLoss, ...] = ()
    outages: tuple[Outage, ...] = ()
    expiries: tuple[Expiry, ...] = ()
    failed_starts: int = 0
    failed_launches: int = 0
    has_spot: bool = False
    shortages: tuple[Shortage, ...] = ()
    services_skew_s: int = 0


_LOSSES = (Loss.HOST, Loss.HOST, Loss.MEMORY)
_LENGTHS = (0, 1, 2, 3, 4, 5)


def fraction(seed: int, *parts: object) -> float:
    """Return a number from 0 to 1 that depends on its arguments only."""
    text = "|".join(map(str, (seed, *parts)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def draw_schedule(seed: int, backend: str) -> Schedule:
    """Return the schedule of a seed."""
    rng = Random(f"{backend} {seed}")
    is_local = backend == "local"
    tasks = tuple(_draw_maps(rng, is_local) if rng.random() < 1 / 3 else _draw_tasks(rng, is_local))
    tasks = tuple(_draw_branches(Random(f"branches {backend} {seed}"), tasks))
    runs = 2 if rng.random() < 0.2 else 1
    clients = tuple(_draw_clients(rng, runs, len(tasks), is_local))
    if is_local:
        return Schedule(seed, backend, tasks, clients, runs)
    numbers = range(len(tasks))
    lost = rng.sample(numbers, min(len(tasks), rng.choice((0, 1, 1, 2))))
    in_outage = rng.sample(numbers, rng.choice((0, 0, 1)))
    expired = rng.sample(numbers, rng.choice((0, 0, 0, 1)))
    names = [task.group or f"s{number}" for number, task in enumerate(tasks)]
    is_batch = backend == "batch"
    return Schedule(
        seed=seed,
        backend=backend,
        tasks=tasks,
        clients=clients,
        runs=runs,
        fault_rate=rng.choice((0.0, 0.02, 0.05, 0.1)),
        losses=tuple(JobLoss(names[n], rng.randint(1, 15), rng.choice(_LOSSES)) for n in lost),
        outages=tuple(Outage(names[n], rng.choice(_OUTAGES_S)) for n in in_outage),
        expiries=tuple(
            Expiry(names[n], rng.randint(1, 15), rng.choice(_OUTAGES_S)) for n in expired
        ),
        failed_starts=rng.choice((0, 0, 1, 2)) if is_batch else 0,
        failed_launches=0 if is_batch else rng.choice((0, 0, 1, 2)),
        services_skew_s=rng.choice((0, 0, -200, 200)),
        has_spot=(has_spot := rng.random() < 0.6),
        shortages=tuple(_draw_shortages(rng, len(tasks), is_batch, has_spot)),
    )


def _draw_shortages(rng: Random, steps: int, is_batch: bool, has_spot: bool) -> Iterator[Shortage]:
    if has_spot and rng.random() < 0.6:
        yield Shortage("spot", rng.choice((0, 0, rng.randint(1, steps))), rng.choice(_SHORTAGES_S))
    # SageMaker does not let jobs on demand wait: they fail.
    if is_batch and rng.random() < 0.3:
        yield Shortage("on-demand", rng.choice((0, rng.randint(1, steps))), rng.choice(_WAITS_S))


def _draw_tasks(rng: Random, is_local: bool) -> Iterator[Task]:
    troubles = [each for each in Trouble if is_local or each is not Trouble.KILL]
    for number in range(rng.randint(2, 4)):
        reads = rng.sample(range(number), min(number, rng.choice((0, 1, 1, 2))))
        yield Task(
            reads=tuple(sorted(reads)),
            group=rng.choice(_GROUPS),
            failures=1 if rng.random() < 0.2 else 0,
            trouble=rng.choice(troubles) if rng.random() < 0.1 else None,
        )


def _draw_maps(rng: Random, is_local: bool) -> Iterator[Task]:
    """Draw steps of which at least one is mapped: over a list of the context, or a produced one."""
    is_produced = rng.random() < 0.5
    length = rng.choice(_LENGTHS)
    drops = rng.random() < 0.4 and length > 1  # at most one item, so that others remain
    tasks: list[Task] = []
    for task in _draw_tasks(rng, is_local):
        number = len(tasks)
        lists = [n for n, each in enumerate(tasks) if each.items or each.returns is not None]
        reads, over, is_mapped = task.reads, None, rng.random() < 0.7
        if is_produced and number == 0:
            task = replace(task, returns=length)
        elif not lists or is_mapped:
            over = rng.choice(lists) if lists else None
            reads = reads if over is None else tuple(sorted({*reads, over}))
            is_first = over is None or tasks[over].returns is not None
            items = ItemMap(
                over=over,
                length=0 if lists else length,
                items_per_job=rng.choice((None, 1, 2, 3)),
                expect=rng.randint(1, 6) if over is not None and is_first else None,
                rule="drop" if drops else rng.choice(("finish", "drop")),
                item=rng.randrange(length or 1),
                drops=drops,
            )
            drops = False
            # A first execution that fails would drop the item.
            trouble = task.trouble if items.rule == "finish" else None
            failures = 0 if items.drops else task.failures
            task = replace(task, reads=reads, items=items, trouble=trouble, failures=failures)
        tasks.append(task)
    yield from tasks


def _draw_branches(rng: Random, tasks: Sequence[Task]) -> Iterator[Task]:
    """Draw steps some of which are in branches, unless there are maps."""
    has_branches = rng.random() < 0.5 and not any(task.items for task in tasks)
    for number, task in enumerate(tasks):
        is_in_branch = rng.random() < 0.6
        if has_branches and number and is_in_branch:
            task = replace(task, branch=(rng.randrange(number), rng.choice(("0", "1"))))
        yield task


def length_of(tasks: Sequence[Task], number: int) -> int:
    """Return the number of items of a mapped step, with those that are dropped."""
    items, returns = tasks[number].items, tasks[number].returns
    if items is None or items.over is None:
        return returns or 0 if items is None else items.length
    return length_of(tasks, items.over)


def _draw_clients(rng: Random, runs: int, steps: int, is_local: bool) -> Iterator[Client]:
    longest = 40 if is_local else 90
    actions = [*(Action.ATTACH,) * 5, Action.CANCEL, Action.GC, Action.DAMAGE]
    actions += [Action.FILL] if is_local else []

    def expiry() -> int:
        return rng.randint(1, longest) if not is_local and rng.random() < 0.1 else 0

    for run in range(runs):
        fates = (None, None, *Fate)
        yield Client(run, Action.RUN, 0, _skew(rng), *_fate(rng, fates, longest), expiry())
        for _ in range(rng.randint(0, 2)):
            # A second interrupted client is the same as a first one, and costs as much.
            fates = (None, None, Fate.KILL, Fate.SUSPEND)
            action = rng.choice(actions)
            after = rng.randint(0, steps)
            yield Client(run, action, after, _skew(rng), *_fate(rng, fates, longest), expiry())


def _skew(rng: Random) -> int:
    return rng.choice((0, 0, -_LONGEST_SKEW_S, _LONGEST_SKEW_S))


def _fate(rng: Random, fates: Sequence[Fate | None], longest: int) -> tuple[Fate | None, int, bool]:
    fate = rng.choice(fates)
    return (None, 0, False) if fate is None else (fate, rng.randint(1, longest), rng.random() < 0.5)


def describe(schedule: Schedule) -> str:
    """Return a schedule as text for people."""
    lines = [f"seed {schedule.seed} on {schedule.backend}, {schedule.runs} run(s) at once"]
    for number, task in enumerate(schedule.tasks):
        reads = ", ".join(f"s{read}" for read in task.reads)
        notes = [f"reads {reads}"] if reads else []
        notes += [f"group {task.group}"] if task.group else []
        notes += [f"returns a list of {task.returns} items"] if task.returns is not None else []
        notes += _describe_items(task.items) if task.items else []
        notes += [f"runs if s{task.branch[0]} % 2 == {task.branch[1]}"] if task.branch else []
        notes += [f"fails {task.failures} time(s) and is retried"] if task.failures else []
        notes += [f"{task.trouble.value} the first time"] if task.trouble else []
        lines.append(f"  step s{number}: {'; '.join(notes) or 'reads nothing'}")
    for number, client in enumerate(schedule.clients):
        lines.append(f"  client {number}: {_describe_client(client)}")
    for loss in schedule.losses:
        lines.append(f"  job {loss.job} {loss.kind.value} at call {loss.at_call}")
    for outage in schedule.outages:
        lines.append(f"  the store fails for {outage.seconds} s when job {outage.job} commits")
    for expiry in schedule.expiries:
        lines.append(
            f"  the credentials of job {expiry.job} expire at call {expiry.at_call}, for "
            f"{expiry.seconds} s"
        )
    if schedule.fault_rate:
        lines.append(f"  {schedule.fault_rate:.0%} of the calls of AWS are broken")
    if schedule.failed_starts:
        lines.append(f"  {schedule.failed_starts} start(s) of containers fail")
    if schedule.failed_launches:
        lines.append(f"  {schedule.failed_launches} training job(s) on demand get no instance")
    if schedule.has_spot:
        lines.append("  there is spot capacity, and capacity on demand")
    for shortage in schedule.shortages:
        lines.append(f"  no capacity: {_describe_shortage(shortage)}")
    if schedule.services_skew_s:
        lines.append(f"  the services' clocks are {schedule.services_skew_s:+} s off")
    return "\n".join(lines)


def _describe_items(items: ItemMap) -> Iterator[str]:
    source = f"{items.length} items" if items.over is None else f"the items of s{items.over}"
    yield f"runs for {source} with the rule {items.rule!r}"
    if items.expect is not None:
        yield f"expects {items.expect} items"
    if items.items_per_job is not None:
        yield f"{items.items_per_job} items per job"
    yield f"item {items.item} always fails" if items.drops else f"faults are those of {items.item}"


def _describe_shortage(shortage: Shortage) -> str:
    begin = f", after {shortage.after_steps} step(s)" if shortage.after_steps else ""
    end = (
        "until the clients have ended" if shortage.seconds is None else f"for {shortage.seconds} s"
    )
    return f"{shortage.capacity}{begin}, {end}"


def _describe_client(client: Client) -> str:
    text = f"{client.action.value} of run {client.run}"
    if client.after_steps:
        text += f" after {client.after_steps} step(s)"
    if client.skew_s:
        text += f", its clock {client.skew_s:+} s off"
    if client.fate is not None:
        when = "after" if client.call_arrives else "before"
        text += f"; {client.fate.value} {when} its call {client.at_call}"
    if client.expires_at:
        text += f"; its credentials expire at its call {client.expires_at}"
    return text
