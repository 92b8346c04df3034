"""A step: a function with declared inputs, outputs and resources."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

from flowyml_aws.core.errors import FlowymlError, InvalidStepError, OutputMismatchError
from flowyml_aws.core.resources import ResourceRequirements, read_resources

__all__ = ["Step", "step"]

CacheRule = bool | str | Callable[..., Any]
_CACHE_RULES = ("code_hash", "input_hash")


class _TakesSteps(Protocol):
    def add_step(self, step: Step) -> object: ...


@dataclass(frozen=True, eq=False)
class Step:
    """A function with what it reads, what it produces and what it needs. Call it as the function.

    Attributes:
        func: The function itself.
        name: Unique in a pipeline; the function's name unless another is given.
        inputs: Assets it reads.
        outputs: Assets it produces.
        cache: `"code_hash"`, `"input_hash"`, a callable that returns a key, or False.
        cache_explicit: The user chose `cache`: so the outputs are stored for later runs.
        retry: How often a failed attempt is repeated.
        retry_delay_s: Seconds before the first repetition; doubled each time, 60 at most.
        timeout_s: Seconds an attempt may take, or None.
        resources: As the user gave them; `requirements()` reads them.
        tags: Free labels.
        condition: Returns whether the step runs; it is called with the same arguments.
        execution_group: Consecutive steps of one group share a job.
    """

    func: Callable[..., Any]
    name: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    cache: CacheRule = "code_hash"
    cache_explicit: bool = False
    retry: int = 0
    retry_delay_s: float = 1.0
    timeout_s: float | None = None
    resources: ResourceRequirements | Mapping[str, Any] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    condition: Callable[..., Any] | None = None
    execution_group: str | None = None

    def __post_init__(self) -> None:
        if not callable(self.func):
            raise self._invalid("func", self.func, "a function")
        if not isinstance(self.name, str) or not self.name:
            raise self._invalid("name", self.name, "a text: what is no function has no name itself")
        for argument, texts in (
            ("inputs", self.inputs),
            ("outputs", self.outputs),
            ("execution_group", (self.execution_group or "",)),
        ):
            # Names are looked up everywhere: only what else is wrong can wait for the report.
            if not all(isinstance(text, str) for text in texts):
                raise self._invalid(argument, getattr(self, argument), "text, or a list of texts")
        for name in (*functools.WRAPPER_ASSIGNMENTS, "__wrapped__"):
            value = self.func if name == "__wrapped__" else getattr(self.func, name, None)
            object.__setattr__(self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.func(*args, **kwargs)

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets it produces: the declared outputs, else one with the step's own name."""
        return self.outputs or (self.name,)

    def requirements(self) -> ResourceRequirements | None:
        """The step's resources.

        Raises:
            InvalidResourcesError: They are a dict with an unknown key.
        """
        return read_resources(self.resources)

    def split_outputs(self, returned: Any) -> dict[str, Any]:
        """The value of each asset from what the function returned.

        One output takes the whole value. Several take a tuple or list of that length, or a dict
        that has each of them as key.

        Raises:
            OutputMismatchError: The returned value does not match the declared outputs.
        """
        names = self.assets
        if len(names) == 1:
            return {names[0]: returned}
        if isinstance(returned, Mapping) and all(name in returned for name in names):
            return {name: returned[name] for name in names}
        if isinstance(returned, (tuple, list)) and len(returned) == len(names):
            return dict(zip(names, returned, strict=True))
        kind = type(returned).__name__
        got = f"{kind} of {len(returned)}" if isinstance(returned, (tuple, list)) else kind
        raise OutputMismatchError(
            what=f"Step {self.name!r} returned a {got}",
            why=f"it declares {len(names)} outputs: {', '.join(names)}",
            fix=f"return a tuple of {len(names)} values in this order, or a dict with these keys",
        )

    def problems(self) -> list[FlowymlError]:
        """Every mistake in this step's own declaration, each as an error."""
        found: list[FlowymlError] = []
        for name, values in (("inputs", self.inputs), ("outputs", self.outputs)):
            if not all(values):
                found.append(self._invalid(name, values, "a list of names of assets"))
            elif len(set(values)) < len(values):
                found.append(self._invalid(name, values, "a list without repetitions"))
        if not isinstance(self.retry, int) or not 0 <= self.retry <= 100:
            found.append(self._invalid("retry", self.retry, "a whole number from 0 to 100"))
        if self.timeout_s is not None and not _is_positive(self.timeout_s):
            found.append(self._invalid("timeout", self.timeout_s, "a number of seconds above 0"))
        if not _is_positive(self.retry_delay_s) and self.retry_delay_s != 0:
            found.append(self._invalid("retry_delay", self.retry_delay_s, "a number of seconds"))
        if self.cache is not False and self.cache not in _CACHE_RULES and not callable(self.cache):
            rules = '"code_hash", "input_hash", False, or a function that returns a key'
            found.append(self._invalid("cache", self.cache, rules))
        if self.condition is not None and not callable(self.condition):
            found.append(self._invalid("condition", self.condition, "a function"))
        if self.execution_group is not None and not self.execution_group:
            found.append(self._invalid("execution_group", "", "a name, or left out"))
        try:
            requirements = self.requirements()
        except FlowymlError as error:
            found.append(self._located(error))
        else:
            problems = requirements.problems() if requirements else []
            found += [self._located(problem) for problem in problems]
        return found

    def _located(self, error: FlowymlError) -> FlowymlError:
        return type(error)(f"Step {self.name!r}: {error.what}", error.why, error.fix)

    def _invalid(self, argument: str, value: object, expected: str) -> InvalidStepError:
        return InvalidStepError(
            what=f"Step {self.name!r}: {argument}={value!r}",
            why=f"{argument} must be {expected}",
            fix=f"change it in @step({argument}=…)",
        )


@overload
def step(_func: Callable[..., Any], /) -> Step: ...
@overload
def step(
    _func: None = None,
    /,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    cache: CacheRule | None = None,
    retry: int = 0,
    retry_delay: float = 1.0,
    timeout: float | None = None,
    resources: ResourceRequirements | Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    name: str | None = None,
    condition: Callable[..., Any] | None = None,
    execution_group: str | None = None,
    pipeline: _TakesSteps | None = None,
    register: bool = True,
) -> Callable[[Callable[..., Any]], Step]: ...
def step(
    _func: Callable[..., Any] | None = None,
    /,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    cache: CacheRule | None = None,
    retry: int = 0,
    retry_delay: float = 1.0,
    timeout: float | None = None,
    resources: ResourceRequirements | Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    name: str | None = None,
    condition: Callable[..., Any] | None = None,
    execution_group: str | None = None,
    pipeline: _TakesSteps | None = None,
    register: bool = True,
) -> Step | Callable[[Callable[..., Any]], Step]:
    """Make a step of a function: `@step` or `@step(outputs=["model"], …)`.

    Args:
        _func: The function, in the bare form.
        inputs: Assets it reads, handed over by parameter name, else by position.
        outputs: Assets it produces; one takes the whole returned value.
        cache: `"code_hash"` (the default), `"input_hash"`, a callable, or False. An explicit rule
            also stores outputs that no other job reads.
        retry: How often a failed attempt is repeated.
        retry_delay: Seconds before the first repetition; doubled each time, 60 at most.
        timeout: Seconds an attempt may take.
        resources: A `ResourceRequirements`, or a dict with the same keys.
        tags: Free labels.
        name: Another name than the function's.
        condition: Called with the step's arguments; a false answer skips the step and what
            depends on it.
        execution_group: Consecutive steps of one group run in one job.
        pipeline: A pipeline to add the step to. There is no global registry of steps.
        register: False leaves the step out of `pipeline`.
    """

    def decorate(func: Callable[..., Any]) -> Step:
        made = Step(
            func=func,
            name=name or str(getattr(func, "__name__", "")),
            inputs=_names(inputs),
            outputs=_names(outputs),
            cache="code_hash" if cache is None or cache is True else cache,
            cache_explicit=cache not in (None, False),
            retry=retry,
            retry_delay_s=retry_delay,
            timeout_s=timeout,
            resources=resources,
            tags=dict(tags or {}),
            condition=condition,
            execution_group=execution_group,
        )
        if pipeline is not None and register:
            pipeline.add_step(made)
        return made

    return decorate if _func is None else decorate(_func)


def _names(given: Sequence[str] | None) -> tuple[str, ...]:
    # A bare text is surely one name, not a list of letters.
    return (given,) if isinstance(given, str) else tuple(given or ())


def _is_positive(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 < value < math.inf  # type: ignore[operator]
