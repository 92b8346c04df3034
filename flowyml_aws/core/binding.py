"""Binding of inputs and context values to the parameters of a step's function or condition.

The rules are those of a Python call:

- An input whose name is a parameter fills this parameter.
- Any other input is passed by position: it fills the parameter at its index
  (`inputs=["data/train"]` fills `train_data`), or is one of `*args` after the last parameter.
  If the place is not free, or does not exist, `**kwargs` takes the input by its name.
- The context fills the remaining parameters by name.

A parameter of a condition gets the same value as the function's parameter with that name, and
otherwise the pipeline's asset with that name. A condition need not take all inputs.

A step of a sub-pipeline is bound with the names of the sub-pipeline. Its arguments then get the
names of the pipeline that runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter as Kinds
from typing import Any, Literal

from flowyml_aws.core.annotations import members, parameter_type
from flowyml_aws.core.arguments import Argument, Arguments
from flowyml_aws.core.lazy_parameters import handle_type, is_plainly_a_value
from flowyml_aws.core.run_view import Viewed
from flowyml_aws.core.signatures import Parameter, parameters_of
from flowyml_aws.core.skipped import Skipped
from flowyml_aws.core.step import Scope, Step

__all__ = [
    "BoundCall",
    "BoundStep",
    "TwoSources",
    "bind",
    "bind_condition",
    "bind_step",
    "bind_steps",
]


@dataclass(frozen=True, slots=True)
class TwoSources:
    """A parameter that an asset fills, and for which the context has a value."""

    parameter: str
    asset: str


@dataclass(frozen=True, slots=True)
class BoundCall:
    """The arguments of a call, and the mistakes in them.

    Attributes:
        arguments: Sources of the arguments.
        parameters: Parameters of the function that the call uses; None for builtins without
            a signature.
        by_parameter: Parameter → source of its argument, without those of `*args` and `**kwargs`.
        missing: Parameters without a value that must have one.
        untaken: Inputs that no parameter takes.
        ambiguous: Parameters with two sources.
    """

    arguments: Arguments
    parameters: tuple[Parameter, ...] | None = None
    by_parameter: Mapping[str, Argument] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    untaken: tuple[str, ...] = ()
    ambiguous: tuple[TwoSources, ...] = ()

    @property
    def named(self) -> dict[str, Parameter]:
        """Parameters by name, without `*args` and `**kwargs`."""
        return {p.name: p for p in self.parameters or () if p.is_named}

    @property
    def of_assets(self) -> dict[str, str]:
        """Parameter → asset that fills it, or that would if the context had no value for it."""
        filled = {name: a.name for name, a in self.by_parameter.items() if a.source == "asset"}
        return filled | {each.parameter: each.asset for each in self.ambiguous}

    def renamed(self, assets: Mapping[str, str], context: Mapping[str, str]) -> BoundCall:
        """Return the call with other assets and context values instead of some of them."""
        filled = self.by_parameter.items()
        return replace(
            self,
            arguments=self.arguments.renamed(assets, context),
            by_parameter={name: each.renamed(assets, context) for name, each in filled},
            untaken=tuple(assets.get(asset, asset) for asset in self.untaken),
            ambiguous=tuple(
                TwoSources(each.parameter, assets.get(each.asset, each.asset))
                for each in self.ambiguous
            ),
        )


@dataclass(frozen=True, slots=True)
class BoundStep:
    """The arguments of a step's function, and of its condition if it has one.

    Attributes:
        context_names: Name of a context value in the sub-pipeline that declares the step → its
            name in the context of the pipeline; empty for a step of the pipeline itself.
    """

    step: Step
    function: BoundCall
    condition: BoundCall | None
    context_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def reads(self) -> tuple[str, ...]:
        """Assets that the step reads: inputs, those that only its condition takes, its decision."""
        branch, condition = self.step.branch, self.condition
        if branch is None and condition is None:
            return self.step.inputs
        reads = [*self.step.inputs]
        if condition is not None:
            reads += condition.arguments.assets
            reads += (sources.asset for sources in condition.ambiguous)
        if branch is not None:
            reads.append(branch.decision)
        return tuple(dict.fromkeys(reads))

    @property
    def needed(self) -> tuple[str, ...]:
        """Assets without which the step is skipped: those of its calls, and its decision."""
        condition, branch = self.condition, self.step.branch
        needed = [] if condition is None else [*condition.arguments.needed]
        needed += self.function.arguments.needed
        return tuple(needed if branch is None else [*needed, branch.decision])

    @property
    def needed_of_branches(self) -> tuple[tuple[str, ...], ...]:
        """Assets of different branches: without any of each tuple, the step is skipped."""
        calls = [self.function] if self.condition is None else [self.condition, self.function]
        found = (a for call in calls for a in call.arguments.needed_of_branches.values())
        return tuple(dict.fromkeys(found))

    @property
    def untaken(self) -> tuple[str, ...]:
        """Inputs that neither the function nor the condition takes."""
        taken = self.condition.arguments.assets if self.condition is not None else ()
        return tuple(asset for asset in self.function.untaken if asset not in taken)

    @property
    def order_only(self) -> tuple[str, ...]:
        """Inputs that only decide the order, because the function has no parameters at all.

        The specification of step grouping has such steps.
        """
        return self.untaken if self.function.parameters == () else ()

    @property
    def context(self) -> set[str]:
        """Context values that the step takes."""
        calls = [call for call in (self.function, self.condition) if call is not None]
        return {name for call in calls for name in call.arguments.context}

    @property
    def own_context(self) -> dict[str, str]:
        """Context values that the step takes, by the names that its declaration has for them."""
        own_names = {name: own for own, name in self.context_names.items()}
        return {own_names.get(name, name): name for name in sorted(self.context)}

    def context_name(self, parameter: str) -> str:
        """Return the name of the context value that fills a parameter, or would fill it."""
        scope, mapping = self.step.scope, self.step.mapping
        if scope is None or (mapping is not None and parameter in mapping.parameters):
            return parameter
        return self.context_names.get(parameter, f"{scope.path}/{parameter}")


def bind_steps(
    steps: Sequence[Step], external_inputs: Collection[str] = (), context: Collection[str] = ()
) -> tuple[BoundStep, ...]:
    """Return the arguments of each step of a pipeline, in the same order.

    Args:
        steps: All steps.
        external_inputs: Assets that no step produces.
        context: Names in the context.
    """
    assets = {asset for step in steps for asset in step.assets}.union(external_inputs)
    calls: dict[tuple[int, tuple[str, ...]], BoundCall] = {}
    bound = []
    for step in steps:
        if not _is_plain(step):
            bound.append(bind_step(step, assets, context))
            continue
        # Many steps may have one function and the same inputs. All functions stay alive.
        key = id(step.func), step.inputs
        if key not in calls:
            calls[key] = bind(step.func, step.inputs, context)
        bound.append(BoundStep(step, calls[key], None))
    return tuple(bound)


def _is_plain(step: Step) -> bool:
    """Return whether the arguments of a step depend only on its function and its inputs."""
    return (
        step.scope is None
        and step.view is None
        and step.mapping is None
        and not callable(step.condition)
    )


def bind_step(step: Step, assets: Collection[str], context: Collection[str]) -> BoundStep:
    """Return the arguments of a step.

    Args:
        step: Step to bind.
        assets: Assets that the step's condition can take by name, except the step's own.
        context: Names in the context.
    """
    if step.scope is not None:
        return _bind_scoped(step, step.scope, context)
    if step.view is not None:
        return BoundStep(step, _bind_view(step.view, step.func, context), None)
    if step.mapping is not None:
        # Its items fill these parameters.
        context = {*context, *step.mapping.parameters}.difference(step.mapping.over)
    function = bind(step.func, step.inputs, context)
    if not callable(step.condition):  # anything else is reported as a mistake
        return BoundStep(step, function, None)
    others = set(assets).difference(step.assets)
    condition = bind_condition(step.condition, function, step.inputs, context, others)
    return BoundStep(step, function, condition)


def _bind_scoped(step: Step, scope: Scope, context: Collection[str]) -> BoundStep:
    """Return the arguments of a step of a sub-pipeline."""
    own, names = scope.step, scope.context(context)
    if step.mapping is not None and not step.mapping.over:
        own = replace(own, mapping=step.mapping)  # a run may have other rows
    bound = bind_step(own, scope.assets, names)
    of_items = () if step.mapping is None else step.mapping.parameters
    names = {local: name for local, name in names.items() if local not in of_items}
    condition = bound.condition
    return BoundStep(
        step,
        bound.function.renamed(scope.assets, names),
        None if condition is None else condition.renamed(scope.assets, names),
        names,
    )


def _bind_view(view: Viewed, function: Callable[..., Any], context: Collection[str]) -> BoundCall:
    """Return a call whose argument is a view; what it reads of the context are its parameters."""
    names = view.context
    return BoundCall(
        Arguments(
            view=replace(
                view, context={own: name for own, name in names.items() if name in context}
            )
        ),
        parameters=tuple(
            Parameter(Kinds(name, Kinds.KEYWORD_ONLY), function)
            for name in names
            if name.isidentifier()
        ),
        missing=tuple(name for name in names if name not in context),
    )


def bind(
    function: Callable[..., Any], inputs: Sequence[str], context: Collection[str]
) -> BoundCall:
    """Match a function's parameters with inputs, then with context names.

    Args:
        function: Function of a step.
        inputs: Assets that the step reads.
        context: Names in the context.
    """
    parameters = parameters_of(function)
    if parameters is None:
        return _in_order(inputs)
    likely = [p for p in parameters if p.is_named or not p.is_guess]
    bound = _bind(likely, inputs, context)
    if len(likely) == len(parameters) or not (bound.untaken or bound.ambiguous):
        return bound
    # The function does not fit: call the decorator as it is declared.
    return _bind([p for p in parameters if not (p.is_named and p.is_guess)], inputs, context)


def _bind(
    parameters: Sequence[Parameter], inputs: Sequence[str], context: Collection[str]
) -> BoundCall:
    call = _Call(parameters, inputs)
    call.ambiguous += call.by_position(inputs, lambda place: place.name in context)
    call.fill("context", context)
    return call.bound(context)


def bind_condition(
    condition: Callable[..., Any],
    function: BoundCall,
    inputs: Sequence[str],
    context: Collection[str],
    assets: Collection[str],
) -> BoundCall:
    """Match a condition's parameters with inputs, context names, and assets by name.

    Args:
        condition: Condition of a step.
        function: Call of the step's function; equal parameters get equal arguments.
        inputs: Assets that the step reads.
        context: Names in the context.
        assets: Assets that the condition can take by name.
    """
    parameters = parameters_of(condition)
    if parameters is None:
        return _in_order(inputs)
    call = _Call([p for p in parameters if p.is_named or not p.is_guess], inputs)
    call.filled |= {
        name: _asset(asset, call.named[name])
        for name, asset in function.of_assets.items()
        if name in call.named
    }
    # A parameter that gets a value by name, or has a default, is not filled by position.
    reserved = {*context, *assets}
    list(call.by_position(inputs, lambda place: place.has_default or place.name in reserved))
    call.untaken.clear()
    ambiguous = [name for name in call.named if name in context and name in assets]
    call.ambiguous += [TwoSources(name, name) for name in ambiguous if name not in call.filled]
    call.fill("context", context)
    call.fill("asset", assets)
    return call.bound(context)


def _in_order(inputs: Sequence[str]) -> BoundCall:
    return BoundCall(Arguments(tuple(Argument("asset", asset) for asset in inputs)))


def _asset(asset: str, parameter: Parameter) -> Argument:
    """Return the argument for an asset, and what replaces it if its step is skipped."""
    accepts = _accepted_types(parameter)
    return Argument(
        "asset",
        asset,
        default_of=parameter.name if parameter.has_default else None,
        accepts_skipped=Skipped in accepts,
        is_lazy=handle_type(parameter, accepts) is not None,
    )


def _context_value(name: str, parameter: Parameter) -> Argument:
    """Return the argument for a context value."""
    if is_plainly_a_value(parameter.declared.annotation):
        return Argument("context", name)
    handle = handle_type(parameter, _accepted_types(parameter))
    return Argument("context", name, is_lazy=handle is not None)


def _accepted_types(parameter: Parameter) -> tuple[Any, ...]:
    return members(parameter_type(parameter.owner, parameter.declared.annotation))


class _Call:
    """A call whose arguments are being decided."""

    def __init__(self, parameters: Sequence[Parameter], inputs: Sequence[str]) -> None:
        self._parameters = tuple(parameters)
        self.named = {p.name: p for p in parameters if p.is_named}
        self._positional = [p for p in parameters if p.is_positional]
        kinds = {p.declared.kind for p in parameters}
        self._has_args = Kinds.VAR_POSITIONAL in kinds
        self._has_kwargs = Kinds.VAR_KEYWORD in kinds
        self._others_like = {p.declared.kind: p for p in parameters if not p.is_named}
        self._replacements: dict[tuple[str, Any], Argument] = {}
        self.filled = {
            name: self._asset(name, self.named[name]) for name in inputs if name in self.named
        }
        self._more: list[Argument] = []  # for `*args`
        self._others: dict[str, Argument] = {}  # for `**kwargs`
        self.untaken: list[str] = []
        self.ambiguous: list[TwoSources] = []

    def by_position(
        self, inputs: Sequence[str], is_reserved: Callable[[Parameter], bool]
    ) -> Iterator[TwoSources]:
        """Pass the inputs that no parameter takes by name. Yield those for reserved parameters."""
        for index, asset in enumerate(inputs):
            if asset in self.named:
                continue
            place = self._positional[index] if index < len(self._positional) else None
            is_free = place is not None and place.name not in self.filled
            if place is not None and is_free and not is_reserved(place):
                self.filled[place.name] = self._asset(asset, place)
            elif place is None and self._has_args:
                self._more.append(self._asset(asset, self._others_like[Kinds.VAR_POSITIONAL]))
            elif self._has_kwargs and asset.isidentifier():
                self._others[asset] = self._asset(asset, self._others_like[Kinds.VAR_KEYWORD])
            elif place is not None and is_free:
                yield TwoSources(place.name, asset)
            else:
                self.untaken.append(asset)

    def fill(self, source: Literal["asset", "context"], names: Collection[str]) -> None:
        """Fill the remaining parameters by name."""
        for name, parameter in self.named.items():
            if name in names and name not in self.filled:
                make = self._asset if source == "asset" else _context_value
                self.filled[name] = make(name, parameter)

    def _asset(self, asset: str, parameter: Parameter) -> Argument:
        """Same as the function; reads the annotation of each parameter once."""
        key = parameter.name, parameter.declared.kind
        like = self._replacements.get(key)
        if like is None:
            self._replacements[key] = like = _asset(asset, parameter)
        return Argument("asset", asset, like.default_of, like.accepts_skipped, is_lazy=like.is_lazy)

    def bound(self, context: Collection[str]) -> BoundCall:
        by_name = [
            TwoSources(name, argument.name)
            for name, argument in self.filled.items()
            if argument.source == "asset" and name in context
        ]
        return BoundCall(
            arguments=self._arguments(),
            parameters=self._parameters,
            by_parameter=self.filled,
            missing=tuple(
                name for name, p in self.named.items() if p.is_required and name not in self.filled
            ),
            untaken=tuple(self.untaken),
            ambiguous=(*by_name, *self.ambiguous),
        )

    def _arguments(self) -> Arguments:
        """Return the call: assets by position as far as possible, context values by keyword."""
        places = self._positional
        last = len(places) if self._more else 0  # every argument before it must be positional
        for number, place in enumerate(places, 1):
            if place.declared.kind is Kinds.POSITIONAL_ONLY and place.name in self.filled:
                last = max(last, number)
        # Decorators such as `mock.patch` add their argument after those that they get.
        is_extended = any(p.name not in self.filled and not p.has_default for p in places)
        positional: list[Argument] = []
        keywords: dict[str, Argument] = {}
        can_continue = True
        for number, place in enumerate(places, 1):
            argument = self.filled.get(place.name)
            if argument is None:
                if number <= last and place.has_default:
                    positional.append(Argument("default", place.name))
                can_continue = can_continue and number <= last
            elif number <= last or (
                can_continue
                and (is_extended or argument.source == "asset")
                and not (place.is_guess and argument.name == place.name)
            ):
                positional.append(argument)
            else:
                keywords[place.name] = argument
                can_continue = False
        names = {place.name for place in places}
        keywords |= {name: a for name, a in self.filled.items() if name not in names}
        return Arguments((*positional, *self._more), {**keywords, **self._others})
