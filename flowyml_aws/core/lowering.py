"""Lowering of branches to steps: a decision, and the steps of each case with their `branch`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flowyml_aws.core.branches import Branch, Cases
from flowyml_aws.core.condition_code import ViewUse, view_use
from flowyml_aws.core.control_flow import AddedFlow, ControlFlow, If, Switch
from flowyml_aws.core.errors import FlowymlError, InvalidStepError
from flowyml_aws.core.run_view import Viewed
from flowyml_aws.core.signatures import parameters_of
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.step import Step, step

__all__ = ["is_plain_function", "lower", "step_of_function"]


@dataclass(frozen=True, slots=True)
class _Known:
    """The names that a condition can use.

    Attributes:
        steps: Steps by name.
        earlier: Steps that are declared before the condition, without those that depend on it and
            without approvals.
        assets: Assets of the steps, and external inputs.
        context: Names in the context.
    """

    steps: Mapping[str, Step]
    earlier: Sequence[Step]
    assets: Collection[str]
    context: Collection[str]


def lower(
    steps: Sequence[Step],
    flows: Sequence[AddedFlow],
    external_inputs: Collection[str] = (),
    context: Collection[str] = (),
) -> tuple[tuple[Step, ...], list[FlowymlError]]:
    """Return the steps of a pipeline with those of its control flows, and the mistakes in these.

    Conditions of approvals become decisions, too.

    Args:
        steps: Steps outside control flows, in declaration order.
        flows: Control flows in declaration order.
        external_inputs: Assets that no step produces.
        context: Names in the context.
    """
    lowered, problems = _with_flows(steps, flows, external_inputs, context)
    approved, mistakes = _with_conditions_of_approvals(lowered, external_inputs, context)
    return approved, [*problems, *mistakes]


def is_plain_function(declared: Any) -> bool:
    """Return whether an item of a branch is a function without `@step`, which becomes a step."""
    is_lambda = getattr(declared, "__name__", "<lambda>") == "<lambda>"
    return callable(declared) and not isinstance(declared, type) and not is_lambda


def step_of_function(
    function: Callable[..., Any], assets: Collection[str], context: Collection[str]
) -> Step:
    """Return the step of a plain function in a branch, which reads assets by name.

    Args:
        function: The function.
        assets: Assets of the pipeline, and external inputs.
        context: Names in the context, which fill parameters instead of assets.
    """
    names = [p.name for p in parameters_of(function) or () if p.is_named]
    return step(inputs=[n for n in names if n in assets and n not in context])(function)


def _with_flows(
    steps: Sequence[Step],
    flows: Sequence[AddedFlow],
    external_inputs: Collection[str],
    context: Collection[str],
) -> tuple[tuple[Step, ...], list[FlowymlError]]:
    if not flows:
        return tuple(steps), []
    problems: list[FlowymlError] = []
    names = _decision_names(flows)
    assets = {asset for each in steps for asset in each.assets}.union(external_inputs)
    branches = [_branch_steps(added.flow, assets, context) for added in flows]
    assets.update(
        a for cases in branches for each in cases.values() for s in each for a in s.assets
    )
    problems += _misplaced(steps, flows, names, branches)
    everything = {each.name: each for each in steps}
    everything.update((s.name, s) for cases in branches for each in cases.values() for s in each)
    lowered: list[Step] = []
    added_ids = {id(each) for each in steps}
    start = 0
    for added, name, cases in zip(flows, names, branches, strict=True):
        lowered += steps[start : added.position]
        start = max(start, added.position)
        flow = added.flow
        problems += _problems(flow, name)
        own = [each for its_steps in cases.values() for each in its_steps]
        earlier = _independent(lowered, own, everything.values())
        others = {n: s for n, s in everything.items() if all(s is not each for each in own)}
        own_assets = {asset for each in own for asset in each.assets}
        known = _Known(others, earlier, assets.difference(own_assets), context)
        decision = None
        if callable(flow.function):
            decision, mistakes = _decision(flow, name, known)
            problems += mistakes
            if decision is not None:
                lowered.append(decision)
        for case, its_steps in cases.items():
            branch = None if decision is None else Branch(decision.name, case)
            for each in its_steps:
                if id(each) not in added_ids:  # another one is reported as a mistake
                    added_ids.add(id(each))
                    lowered.append(replace(each, branch=branch))
    return (*lowered, *steps[start:]), problems


def _with_conditions_of_approvals(
    steps: Sequence[Step], external_inputs: Collection[str], context: Collection[str]
) -> tuple[tuple[Step, ...], list[FlowymlError]]:
    """Return the steps with a decision before each approval that has a condition."""
    found: list[Step] = []
    problems: list[FlowymlError] = []
    for each in steps:
        rule = each.approval
        # The decisions of a sub-pipeline are steps already, with its names.
        if rule is None or rule.auto_approve_if is None or rule.decision is not None:
            found.append(each)
            continue
        earlier = _independent(found, [each], steps)
        assets = {asset for s in steps if s.approval is None for asset in s.assets}
        others = {s.name: s for s in steps if s.approval is None}
        known = _Known(others, earlier, assets.union(external_inputs), context)
        flow = If(rule.auto_approve_if, name=each.name)
        decision, mistakes = _decision(flow, f"auto:{each.name}", known)
        problems += mistakes
        if decision is not None:
            rule = replace(rule, decision=decision.name)
            found += [decision, replace(each, after=(*each.after, decision.name), approval=rule)]
    return tuple(found), problems


def _decision_names(flows: Sequence[AddedFlow]) -> list[str]:
    """Return the name of each decision; a second one with a default name gets a number."""
    taken: Counter[str] = Counter()
    names = []
    for added in flows:
        flow = added.flow
        own = flow.name
        if own is None:
            steps = (each for case in flow.cases for each in case.steps)
            own = next((str(n) for s in steps if (n := _name_of(s))), flow.function_label)
        name = f"{flow.prefix}:{own}"
        taken[name] += 1
        names.append(name if taken[name] == 1 or flow.name is not None else f"{name}_{taken[name]}")
    return names


def _name_of(declared: Any) -> str | None:
    return getattr(declared, "name", None) or getattr(declared, "__name__", None)


def _branch_steps(
    flow: ControlFlow, assets: Collection[str], context: Collection[str]
) -> dict[str, list[Step]]:
    """Return the valid steps of each case. A function becomes a step that reads assets by name."""
    found: dict[str, list[Step]] = {}
    for case in flow.cases:
        valid = found.setdefault(case.name, [])
        for declared in case.steps:
            if isinstance(declared, Step):
                valid.append(declared)
            elif is_plain_function(declared):
                valid.append(step_of_function(declared, assets, context))
    return found


def _independent(
    earlier: Sequence[Step], own: Sequence[Step], everything: Collection[Step]
) -> list[Step]:
    """Return the earlier steps that do not depend on the branches of a decision.

    Approvals are left out.
    """
    names = {each.name for each in own} | {asset for each in own for asset in each.assets}
    grows = True
    while grows:
        dependent = [
            each
            for each in everything
            if each.name not in names and not names.isdisjoint((*each.inputs, *each.after))
        ]
        names.update(n for each in dependent for n in (each.name, *each.assets))
        grows = bool(dependent)
    return [each for each in earlier if each.name not in names and each.approval is None]


def _decision(
    flow: ControlFlow, name: str, known: _Known
) -> tuple[Step | None, list[FlowymlError]]:
    """Return the step of a decision, or None and the mistakes in its function."""
    case_of = flow.case_of
    decision = Step(
        func=flow.function,
        name=name,
        # Its result must be in the store, so that an unchanged decision is not made again.
        cache_explicit=True,
        cases=flow.case_names,
        case_of=case_of,
        # The values of the cases are not in its code.
        cache_on=(tuple(case_of.names.items()),) if isinstance(case_of, Cases) else (),
    )
    parameters = parameters_of(flow.function)
    if parameters is None:
        return None, [_without_signature(flow, name)]
    named = [p for p in parameters if p.is_named]
    required = [p.name for p in named if p.is_required]
    if len(required) == 1 and required[0] not in (*known.assets, *known.context):
        use = view_use(flow.function, required[0])
        if use.is_view:
            if unknown := sorted(use.steps - known.steps.keys()):
                return None, [_no_such_step(flow, name, each, known.steps) for each in unknown]
            if missing := sorted((s, o) for s, o in use.outputs if o not in known.steps[s].assets):
                return None, [_no_such_output(flow, name, known.steps[s], o) for s, o in missing]
            viewed = _viewed(use, known)
            return replace(decision, inputs=viewed.all_assets, view=viewed), []
    inputs = tuple(p.name for p in named if p.name in known.assets)
    return replace(decision, inputs=inputs), []


def _without_signature(flow: ControlFlow, name: str) -> FlowymlError:
    return InvalidStepError(
        what=f"The {flow.function_label} of {name!r} has no signature: {flow.function!r}",
        why="its parameters get assets and context values by name",
        fix="write a function that calls it, such as lambda accuracy: bool(accuracy)",
    )


def _viewed(use: ViewUse, known: _Known) -> Viewed:
    """Return what the view of a decision contains: what its code names.

    If it names no step or asset, but reads some, these are all earlier ones, as far as they exist.
    """
    items, steps = set(use.items), use.steps.intersection(known.steps)
    if use.any_step:
        steps.update(use.strings.intersection(known.steps))
    if use.any_item:
        items.update(use.strings.intersection((*known.assets, *known.context)))
    is_open = (use.any_step and not steps) or (use.any_item and not items)
    if is_open:
        steps.update(each.name for each in known.earlier)
    params = use.params.union(items.difference(known.assets))
    if use.any_param:
        params.update(use.strings.intersection(known.context) or known.context)
    of_steps: dict[str, dict[str, str]] = {}
    for each in known.steps.values():
        if each.name in steps:
            outputs = use.strings.intersection(each.assets) if not is_open else ()
            of_steps[each.name] = {a: a for a in each.assets if not outputs or a in outputs}
    return Viewed(
        steps=of_steps,
        assets={name: name for name in sorted(items.intersection(known.assets))},
        context={name: name for name in sorted(params)},
        optional=is_open,
    )


def _no_such_step(
    flow: ControlFlow, name: str, missing: str, steps: Collection[str]
) -> FlowymlError:
    return InvalidStepError(
        what=f"The {flow.function_label} of {name!r} reads step {missing!r}, which does not exist",
        why=f"the steps that it can read are {', '.join(sorted(steps)) or '(none)'}",
        fix=did_you_mean(missing, sorted(steps), "name a step of the pipeline"),
    )


def _no_such_output(flow: ControlFlow, name: str, step: Step, missing: str) -> FlowymlError:
    return InvalidStepError(
        what=f"The {flow.function_label} of {name!r} reads output {missing!r} of step "
        f"{step.name!r}, which does not exist",
        why=f"its outputs are {', '.join(step.assets)}",
        fix=did_you_mean(missing, step.assets, f"add outputs=[{missing!r}] to the step"),
    )


def _problems(flow: ControlFlow, name: str) -> Iterator[FlowymlError]:
    """Yield the mistakes in a control flow on its own."""
    label = f"{type(flow).__name__} {name!r}"
    if not callable(flow.function):
        yield InvalidStepError(
            what=f"{label}: Invalid {flow.function_label} {flow.function!r}",
            why=f"the {flow.function_label} is a function, which is called in the run",
            fix="write a function or a lambda, such as lambda accuracy: accuracy > 0.9",
        )
    if not flow.cases:
        is_switch = isinstance(flow, Switch)
        yield InvalidStepError(
            what=f"{label} has no branch",
            why="its decision would have no effect",
            fix='add one: .case("image", STEP) or .default(STEP)'
            if is_switch
            else "add one: .then(STEP) or .else_(STEP)",
        )
    for value in flow.duplicate_values:
        yield InvalidStepError(
            what=f"{label} has several cases for {value!r}",
            why="a value chooses one case",
            fix="remove one of them; a case may have a list of steps",
        )
    if isinstance(flow, Switch):
        for value in flow.unhashable_values:
            yield InvalidStepError(
                what=f"{label}: Invalid case {value!r}",
                why=f"the selector's result is looked up among the cases, and a "
                f"{type(value).__name__} is not hashable",
                fix="use a string, a number or a tuple as the value of a case",
            )
    for case in flow.cases:
        if not case.steps:
            yield InvalidStepError(
                what=f"{label}: {case.label} is an empty list",
                why="a branch has steps",
                fix="add a step, or leave out the branch",
            )
        for declared in case.steps:
            if not isinstance(declared, Step) and not is_plain_function(declared):
                yield InvalidStepError(
                    what=f"{label}: Expected a step for {case.label}, got {declared!r}",
                    why="a branch is a step, or a list of steps",
                    fix=_fix_of_branch(declared),
                )


def _fix_of_branch(declared: Any) -> str:
    if isinstance(declared, If | Switch):
        return (
            "add it with add_control_flow, too; if its condition reads an asset of this branch, it "
            "is skipped with the branch"
        )
    if hasattr(declared, "add_sub_pipeline"):
        return "add it with add_sub_pipeline, and connect it to an asset of this branch"
    return "put @step above the function"


def _misplaced(
    steps: Sequence[Step],
    flows: Sequence[AddedFlow],
    names: Sequence[str],
    branches: Sequence[Mapping[str, Sequence[Step]]],
) -> Iterator[FlowymlError]:
    """Yield an error for each step that is in several branches, or also outside them."""
    alone = {id(each) for each in steps}
    places: dict[int, list[str]] = {}
    found: dict[int, Step] = {}
    for added, name, cases in zip(flows, names, branches, strict=True):
        labels = {case.name: case.label for case in added.flow.cases}
        for case, its_steps in cases.items():
            for each in its_steps:
                found[id(each)] = each
                places.setdefault(id(each), []).append(f"{labels[case]} of {name!r}")
    for key, each in found.items():
        if key in alone:
            yield InvalidStepError(
                what=f"Step {each.name!r} is in a branch ({places[key][0]}), and was also added "
                "with add_step",
                why="a step of a branch runs only if its case is chosen",
                fix="remove the call of add_step",
            )
        elif len(places[key]) > 1:
            yield InvalidStepError(
                what=f"Step {each.name!r} is in several branches: {', '.join(places[key])}",
                why="a step runs in one case of one decision",
                fix="create one step for each branch: replace(STEP, name=…) of dataclasses, or "
                "another @step with the same function; or put a step that runs in any case after "
                "the branches, with `after=` or inputs that have defaults",
            )
