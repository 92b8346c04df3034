"""The code of a run: its bundle, its program, and the payload of each job, tried once here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from flowyml_aws.code.ownership import users_code
from flowyml_aws.core.errors import FlowymlError, UnpicklableStepError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.packaging.bundle import SourceBundle
from flowyml_aws.packaging.choices import Choices
from flowyml_aws.packaging.decision import Decision, decide
from flowyml_aws.packaging.kept import changed_by_pickling
from flowyml_aws.packaging.memory import RememberedTrial
from flowyml_aws.packaging.payload import StepPayload, make_payload
from flowyml_aws.packaging.project import Project
from flowyml_aws.packaging.secret_values import secret_values
from flowyml_aws.packaging.survey import Survey, survey
from flowyml_aws.packaging.trial import TrialRequest, environment_of_jobs
from flowyml_aws.packaging.variables import variables_of_binding
from flowyml_aws.runtime.program import Program

__all__ = ["CodeTrial", "Payloads", "RunCode", "payload_of", "trying"]


@dataclass(frozen=True, slots=True)
class RunCode:
    """The code that all jobs of a run share.

    Attributes:
        project: Location of the code on the client.
        bundle: The project's files; for jobs in the project's folder, its modules.
        program: The program that jobs load.
        in_place: Whether jobs run in the project's folder.
    """

    project: Project
    bundle: SourceBundle
    program: Program
    in_place: bool


@dataclass(frozen=True, slots=True)
class Payloads:
    """The payloads of a run's jobs.

    Attributes:
        payloads: Payload of each group, in order; empty if there are problems.
        problems: An error for everything that jobs could not load.
        notes: Notes for the plan.
    """

    payloads: Sequence[StepPayload]
    problems: Sequence[FlowymlError]
    notes: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class CodeTrial:
    """A trial load that has started, with the names whose values it compares."""

    _survey: Survey
    _trial: RememberedTrial
    _given: bytes | None
    _in_place: bool
    _environment: Mapping[str, str]

    def problems(self, choices: Choices) -> list[FlowymlError]:
        """Return an error for each name that the program does not have."""
        return list(choices.problems(self._survey))

    def payloads(
        self,
        groups: Iterable[StepGroup],
        graph: StepGraph,
        context: Mapping[str, Any],
        choices: Choices,
    ) -> Payloads:
        """Make the payload of each group, and load it as its job will.

        Args:
            groups: Groups of steps; each is a job.
            graph: Graph of the pipeline.
            context: Context values.
            choices: Names for which the user decides.
        """
        try:
            states = self._trial.states()
        except FlowymlError as error:
            return Payloads((), (error,))
        payloads: list[StepPayload] = []
        problems: dict[str, FlowymlError] = {}
        notes: dict[str, None] = {}
        decisions: dict[frozenset[str], Decision] = {}
        # Jobs with other items of the same steps have the same payload.
        of_steps: dict[tuple[str, ...], StepPayload] = {}
        for group in groups:
            steps = _declared_steps(group)
            key = tuple(step.name for step in steps)
            if key in of_steps:
                payloads.append(of_steps[key])
                continue
            # A variable that the user gives the job decides the values that are made from it.
            given = frozenset(self._environment) | frozenset(group.environment)
            if given not in decisions:
                evaluate = (*choices.evaluate, *self._made_from(given))
                decisions[given] = decide(self._survey, states, choices.carry, evaluate)
            read = _context_of(group, graph, context)
            used = self._survey.used_by(key, read)
            decision = decisions[given].only(used)
            found = [*decision.problems]
            if not self._in_place:  # the store is not on this machine
                found += secret_values(decision.carried)
            problems.update({str(problem): problem for problem in found})
            notes.update(dict.fromkeys(decision.notes))
            try:
                payloads.append(make_payload(steps, read, decision, self._given))
            except UnpicklableStepError as error:
                problems[str(error)] = error
                continue
            of_steps[key] = payloads[-1]
            for finding in self._load(payloads[-1], decision, choices):
                if isinstance(finding, str):
                    notes[finding] = None
                else:
                    problems[str(finding)] = finding
        if not problems:
            self._trial.remember()
        return Payloads(payloads, tuple(problems.values()), tuple(notes))

    def _load(
        self, payload: StepPayload, decision: Decision, choices: Choices
    ) -> Iterator[FlowymlError | str]:
        """Load a payload as its job will; yield errors and notes."""
        try:
            carried = self._trial.load(payload)
        except FlowymlError as error:
            yield error
        else:
            yield from changed_by_pickling(self._survey, decision, carried, choices.carry)

    def _made_from(self, variables: frozenset[str]) -> Iterator[str]:
        """Yield the names whose values are made from environment variables."""
        if not variables:
            return
        for binding, own in self._survey.bindings.items():
            if users_code(own.value) is None and variables_of_binding(binding) & variables:
                yield str(binding)


@contextmanager
def trying(
    code: RunCode,
    graph: StepGraph,
    context: Mapping[str, Any],
    choices: Choices,
    client: Mapping[str, str],
    environment: Mapping[str, str],
    limit_s: float,
) -> Iterator[CodeTrial]:
    """Load the program in another process while the block runs.

    Args:
        code: Code of the run.
        graph: Graph of the pipeline.
        context: Context values.
        choices: Names for which the user decides.
        client: Environment variables of this process.
        environment: Environment variables that the user gives all jobs.
        limit_s: Time limit in seconds.
    """
    given = choices.given(code.program)
    found = survey(graph.steps, context, str(code.project.root))
    request = TrialRequest(
        bundle=code.bundle,
        program=code.program,
        root=code.project.root,
        in_place=code.in_place,
        survey=found,
        given=given,
        environment=environment_of_jobs(code.in_place, client, environment),
        limit_s=limit_s,
    )
    with RememberedTrial(request) as trial:
        yield CodeTrial(found, trial, given, code.in_place, environment)


def payload_of(
    group: StepGroup,
    graph: StepGraph,
    context: Mapping[str, Any],
    decision: Decision | None = None,
    given: bytes | None = None,
) -> StepPayload:
    """Return the payload of a group, without a trial load.

    Args:
        group: Steps of the job.
        graph: Graph of the pipeline.
        context: Context values.
        decision: Names that the job carries; None if it carries none.
        given: Pickled values by name that the script has before its top level runs.

    Raises:
        UnpicklableStepError: A step can't be pickled.
    """
    read = _context_of(group, graph, context)
    return make_payload(_declared_steps(group), read, decision or Decision(), given)


def _declared_steps(group: StepGroup) -> tuple[Step, ...]:
    """Return the steps that a group's job calls: a mapped step once, without its items.

    The function of a step of a sub-pipeline returns outputs with the names that it has there.
    """
    declared = {step.declared_name: step.own for step in group.steps}
    return tuple(
        step
        if step.mapping is None and step.name == name
        else replace(step, name=name, mapping=None)
        for name, step in declared.items()
    )


def _context_of(
    group: StepGroup, graph: StepGraph, context: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the context values that a group reads: others need not travel, nor be picklable."""
    read = {name for step in group.steps for name in graph.bound[step.name].context}
    return {name: value for name, value in context.items() if name in read}
