"""Random pipelines as source code, whose steps change and share their inputs, and fail at first."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from flowyml_aws import Step

__all__ = ["CONTEXT", "RandomPipeline", "plain_values", "random_pipelines", "source_of"]

CONTEXT = {"shared": {"rows": [7, 5]}}

_CHANGES = (
    "{0}['rows'].append({1})",
    "{0}['rows'].sort()",
    "{0}['rows'].clear()",
    "{0}['new'] = [{1}]",
    "{0}.setdefault('new', []).append({1})",
    "pass  # {0} stays as it is",
)
_ONE_OUTPUT = (
    "return {0}",
    "return {{'rows': {0}['rows'], 'same': {0}}}",
    "return {{'rows': [*{0}['rows'], {1}]}}",
    "return {{'rows': [{1}, 3], 'more': {{'rows': {0}.get('new', {0}['rows'])}}}}",
)
_TWO_OUTPUTS = (
    "return {0}, {0}",
    "return {0}, {{'rows': {0}['rows']}}",
    "return {{'rows': {0}['rows']}}, {{'rows': list({0}['rows'])}}",
)
_HEAD = """\
from flowyml_aws import Pipeline, step

attempts = {}


def fail(name, times):
    attempts[name] = attempts.get(name, 0) + 1
    if attempts[name] <= times:
        raise RuntimeError(f"attempt {attempts[name]}")


"""


@dataclass(frozen=True)
class RandomPipeline:
    """The functions of the steps of a pipeline.

    Attributes:
        names: Names of the steps.
        sources: Source of each step. `{group}` is replaced by its execution group, `{fail}` by the
            statement that lets its first attempts fail.
        failures: Number of attempts of each step that fail.
    """

    names: Sequence[str]
    sources: Sequence[str]
    failures: Sequence[int]


@st.composite
def random_pipelines(draw: st.DrawFn, prefix: str = "") -> RandomPipeline:
    """Draw a pipeline whose names start with a prefix."""
    names, sources, failures = [], [], []
    assets: list[str] = []
    for number in range(draw(st.integers(2, 6))):
        name = f"{prefix}s{number}"
        inputs = draw(st.lists(st.sampled_from(assets), max_size=2, unique=True)) if assets else []
        two = draw(st.booleans())
        outputs = [f"{prefix}{letter}{number}" for letter in ("ab" if two else "a")]
        retry = draw(st.sampled_from((0, 0, 1, 2)))
        options = [f"inputs={inputs}", f"outputs={outputs}", f"retry={retry}", "retry_delay=0"]
        if draw(st.booleans()):
            options.append("cache='input_hash'")
        condition = ""
        if inputs and draw(st.integers(0, 3)) == 0:
            change = draw(st.sampled_from(_CHANGES)).format(inputs[0], number)
            condition = (
                f"def holds_{name}({inputs[0]}):\n    answer = len({inputs[0]}['rows']) != 1\n"
                f"    {change}\n    return answer\n\n\n"
            )
            options.append(f"condition=holds_{name}")
        # A retry would see the default that the first attempt changed, as in plain Python.
        optional = inputs and not retry and draw(st.integers(0, 3)) == 0
        parameters = [*inputs, "shared"] if draw(st.booleans()) or not inputs else inputs
        default = "={'rows': [1]}"
        declared = [f"{p}{default if optional and p != 'shared' else ''}" for p in parameters]
        body = [
            draw(st.sampled_from(_CHANGES)).format(draw(st.sampled_from(parameters)), number)
            for _ in range(draw(st.integers(0, 2)))
        ]
        returned = draw(st.sampled_from(_TWO_OUTPUTS if two else _ONE_OUTPUT))
        body += ["{fail}", returned.format(draw(st.sampled_from(parameters)), number)]
        sources.append(
            f"{condition}@step({', '.join(options)}, execution_group={{group}})\n"
            f"def {name}({', '.join(sorted(declared, key=lambda p: '=' in p))}):\n    "
            + "\n    ".join(body)
            + "\n"
        )
        names.append(name)
        failures.append(draw(st.integers(0, retry)))
        assets += outputs
    return RandomPipeline(names, sources, failures)


def source_of(
    pipelines: Sequence[RandomPipeline], groups: Sequence[str | None], fails: bool
) -> str:
    """Return the source of a module with one pipeline that has all steps.

    Args:
        pipelines: Pipelines, with different prefixes.
        groups: Execution group of each step.
        fails: Whether first attempts fail.
    """
    steps = [step for p in pipelines for step in zip(p.names, p.sources, p.failures, strict=True)]
    functions = []
    for (name, source, times), group in zip(steps, groups, strict=True):
        failing = f"fail({name!r}, {times})" if fails and times else "pass"
        functions.append(source.replace("{group}", repr(group)).replace("{fail}", failing))
    names = ", ".join(name for name, _, _ in steps)
    pipeline = f"pipeline = Pipeline('random', context={CONTEXT!r}).add_steps([{names}])\n"
    return _HEAD + "\n\n".join([*functions, pipeline])


def plain_values(steps: Sequence[Step]) -> Mapping[str, Any]:
    """Return the assets that plain calls give, each with its own copy of its inputs.

    Assets of skipped steps are missing.
    """
    values: dict[str, Any] = {}
    for step in steps:
        sources = {**values, **CONTEXT}
        calls = [function for function in (step.condition, step.func) if function is not None]
        if not all(_needed(function) <= sources.keys() for function in calls):
            continue
        if step.condition is not None and not _called(step.condition, sources):
            continue
        outputs = step.split_outputs(_called(step.func, sources))
        # Each asset is a value of its own.
        values |= {asset: copy.deepcopy(value) for asset, value in outputs.items()}
    return values


def _needed(function: Any) -> set[str]:
    names = _parameters(function)
    return set(names[: len(names) - len(function.__defaults__ or ())])


def _called(function: Any, sources: Mapping[str, Any]) -> Any:
    names = [name for name in _parameters(function) if name in sources]
    return function(**{name: copy.deepcopy(sources[name]) for name in names})


def _parameters(function: Any) -> list[str]:
    code = function.__code__
    return list(code.co_varnames[: code.co_argcount])
