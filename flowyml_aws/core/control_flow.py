"""Declarations of branches: `If` and `Switch`, added with `Pipeline.add_control_flow`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowyml_aws.core.branches import ELSE, NO_CASE, THEN, Cases, then_or_else

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AddedFlow", "ControlFlow", "DeclaredCase", "If", "Switch"]

_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class DeclaredCase:
    """A case with its steps, as declared; they may be invalid.

    Attributes:
        name: Name of the case.
        label: Name of the case in messages: "then", "case 'image'".
        steps: Steps, or what the user passed instead of them.
    """

    name: str
    label: str
    steps: tuple[Any, ...]


class If:
    """Steps that run if a condition holds, and others that run otherwise.

    The condition runs once, in the job that produces its inputs, or on the client if they are known
    before the run. Its parameters get assets and context values by name. A single parameter that is
    neither gets a view of the run: `ctx.steps["evaluate"].outputs["accuracy"]`, `ctx["accuracy"]`
    and `ctx.params["threshold"]`.

    Attributes:
        condition: Function whose result decides by its truth value.
        then_step: Step, or list of steps, that runs if it is true.
        else_step: Step, or list of steps, that runs if it is false.
        name: Name of the decision, `if:NAME`; that of the first step of a branch by default.
    """

    prefix = "if"
    function_label = "condition"

    def __init__(
        self,
        condition: Callable[..., Any],
        then_step: Any = None,
        else_step: Any = None,
        *,
        name: str | None = None,
    ) -> None:
        self.condition = condition
        self.then_step, self.else_step = then_step, else_step
        self.name = name

    def then(self, step: Any) -> Self:
        """Set the step, or the list of steps, that runs if the condition is true."""
        self.then_step = step
        return self

    def else_(self, step: Any) -> Self:
        """Set the step, or the list of steps, that runs if the condition is false."""
        self.else_step = step
        return self

    @property
    def function(self) -> Callable[..., Any]:
        """Function of the decision."""
        return self.condition

    @property
    def case_names(self) -> tuple[str, ...]:
        """Names of the cases that the condition can choose."""
        return THEN, ELSE

    @property
    def case_of(self) -> Callable[[Any], str]:
        """Function that returns the case for a result of the condition."""
        return then_or_else

    @property
    def cases(self) -> tuple[DeclaredCase, ...]:
        """Cases that have steps."""
        declared = ((THEN, self.then_step), (ELSE, self.else_step))
        return tuple(DeclaredCase(n, n, _as_tuple(s)) for n, s in declared if s is not None)

    @property
    def duplicate_values(self) -> tuple[Any, ...]:
        """Values that several cases have; an `If` has none."""
        return ()


class Switch:
    """Steps of which those run whose case a selector chooses.

    The selector gets its arguments like the condition of an `If`. If it returns a value that is no
    case, the steps of the default run, or none.

    Attributes:
        selector: Function that returns the value of a case.
        name: Name of the decision, `switch:NAME`; that of the first step of a case by default.
    """

    prefix = "switch"
    function_label = "selector"

    def __init__(self, selector: Callable[..., Any], *, name: str | None = None) -> None:
        self.selector = selector
        self.name = name
        self._cases: list[tuple[Any, Any]] = []
        self._default: Any = None

    def case(self, value: Any, step: Any = None) -> Any:
        """Add a case. Return the switch, or a decorator if no step is given.

        Args:
            value: Value that the selector returns in this case.
            step: Step of the case, or list of steps.
        """
        if step is None:
            return self._decorator(lambda decorated: self._cases.append((value, decorated)))
        self._cases.append((value, step))
        return self

    def default(self, step: Any = None) -> Any:
        """Set the steps of any other value. Same forms as `case`."""
        if step is None:
            return self._decorator(lambda decorated: setattr(self, "_default", decorated))
        self._default = step
        return self

    @staticmethod
    def _decorator(add: Callable[[Any], object]) -> Callable[[Any], Any]:
        def decorate(step: Any) -> Any:
            add(step)
            return step

        return decorate

    @property
    def function(self) -> Callable[..., Any]:
        """Function of the decision."""
        return self.selector

    @property
    def case_names(self) -> tuple[str, ...]:
        """Names of the cases that the selector can choose."""
        names = (*self._names, self._default_name if self._default is not None else NO_CASE)
        return tuple(dict.fromkeys(names))

    @property
    def case_of(self) -> Callable[[Any], str]:
        """Function that returns the case for a result of the selector."""
        names: dict[Any, str] = {}
        for (value, _), name in zip(self._cases, self._names, strict=True):
            if _is_hashable(value):  # others are reported as mistakes
                names.setdefault(value, name)
        return Cases(names, self._default_name if self._default is not None else NO_CASE)

    @property
    def cases(self) -> tuple[DeclaredCase, ...]:
        """Cases in declaration order, then the default."""
        pairs = zip(self._cases, self._names, strict=True)
        cases = [DeclaredCase(n, f"case {v!r}", _as_tuple(s)) for (v, s), n in pairs]
        if self._default is not None:
            cases.append(DeclaredCase(self._default_name, _DEFAULT, _as_tuple(self._default)))
        return tuple(cases)

    @property
    def duplicate_values(self) -> tuple[Any, ...]:
        """Values that several cases have."""
        values = [value for value, _ in self._cases]
        return tuple(value for n, value in enumerate(values) if value in values[:n])

    @property
    def unhashable_values(self) -> tuple[Any, ...]:
        """Values that can't be compared with the result of the selector."""
        return tuple(value for value, _ in self._cases if not _is_hashable(value))

    @property
    def _names(self) -> list[str]:
        """Name of each case: a string is its own name, unless another value has the same."""
        texts = [str(value) for value, _ in self._cases]
        kinds = [type(value).__name__ for value, _ in self._cases]
        return [
            text if kind == "str" or texts.count(text) == 1 else f"{text} ({kind})"
            for text, kind in zip(texts, kinds, strict=True)
        ]

    @property
    def _default_name(self) -> str:
        return _DEFAULT if _DEFAULT not in self._names else f"({_DEFAULT})"


ControlFlow = If | Switch


@dataclass(frozen=True, slots=True)
class AddedFlow:
    """A control flow in a pipeline.

    Attributes:
        flow: The control flow.
        position: Number of steps that were added before it.
    """

    flow: ControlFlow
    position: int


def _as_tuple(steps: Any) -> tuple[Any, ...]:
    is_several = isinstance(steps, Iterable) and not isinstance(steps, str | bytes)
    return tuple(steps) if is_several else (steps,)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
