from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flowyml_aws.core.arguments import Argument, Arguments
from flowyml_aws.core.binding import BoundCall, TwoSources, bind, bind_condition
from tests.support.effort import examples

pytestmark = pytest.mark.version_sensitive


def call_step(
    function: Callable[..., Any],
    inputs: dict[str, Any],
    context: dict[str, Any] | None = None,
) -> Any:
    """Call a step's function with these inputs, in this order, and this context."""
    context = context or {}
    call = bind(function, list(inputs), context)
    assert not mistakes(call), call
    return call.arguments.call(function, inputs, context)


def call_condition(
    condition: Callable[..., Any],
    function: Callable[..., Any],
    inputs: dict[str, Any],
    context: dict[str, Any] | None = None,
    assets: dict[str, Any] | None = None,
) -> Any:
    """Call a step's condition with these inputs, context values and other assets."""
    context = context or {}
    values = {**(assets or {}), **inputs}
    call = bind_condition(
        condition, bind(function, list(inputs), context), list(inputs), context, values
    )
    assert not mistakes(call), call
    return call.arguments.call(condition, values, context)


def mistakes(call: BoundCall) -> tuple[Any, ...]:
    return (*call.missing, *call.untaken, *call.ambiguous)


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function without `functools.wraps`."""

    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def scaled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function with a parameter of the decorator's own."""

    @functools.wraps(function)
    def inner(*args: Any, factor: float = 10, **kwargs: Any) -> Any:
        return function(*args, **kwargs) * factor

    return inner


def with_session_first(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function("session", *args, **kwargs)

    return inner


def with_session_by_name(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, session="session", **kwargs)

    return inner


def test_an_input_fills_the_parameter_of_the_same_name() -> None:
    assert call_step(lambda b, a: (a, b), {"a": 1, "b": 2}) == (1, 2)


def test_an_input_without_a_matching_name_fills_the_parameter_at_its_index() -> None:
    assert call_step(lambda train, test: (train, test), {"data/train": 1, "data/test": 2}) == (1, 2)


@pytest.mark.parametrize(
    ("function", "inputs", "untaken"),
    [
        (lambda: "done", ["a"], ("a",)),
        (lambda x=0: x, ["a", "b"], ("b",)),
        (lambda a, c=None: (a, c), ["b", "a"], ("b",)),
        (lambda b, *rest: (b, rest), ["a", "b"], ("a",)),
        (lambda a, *, limit=10: limit, ["a", "b"], ("b",)),
        (lambda **values: values, ["data/a"], ("data/a",)),
    ],
)
def test_an_input_that_no_parameter_takes_is_reported(
    function: Any, inputs: list[str], untaken: tuple[str, ...]
) -> None:
    assert bind(function, inputs, ()).untaken == untaken


def test_the_context_fills_parameters_by_name() -> None:
    assert call_step(lambda a, rate: (a, rate), {"a": 1}, {"rate": 0.5, "other": 7}) == (1, 0.5)


@pytest.mark.parametrize(
    ("function", "inputs", "context", "ambiguous"),
    [
        (lambda scale, data=None: data, ["a"], ["scale"], TwoSources("scale", "a")),
        (lambda a: a, ["a"], ["a"], TwoSources("a", "a")),
        (lambda a, /: a, ["data"], ["a"], TwoSources("a", "data")),
    ],
)
def test_a_parameter_with_two_sources_is_reported(
    function: Any, inputs: list[str], context: list[str], ambiguous: TwoSources
) -> None:
    assert bind(function, inputs, context).ambiguous == (ambiguous,)


def test_inputs_after_the_last_parameter_are_passed_as_variable_arguments() -> None:
    def join(*parts: Any) -> Any:
        return parts

    def follow(first: Any, *rest: Any) -> Any:
        return first, rest

    inputs = {"a": 1, "b": 2, "c": 3}
    assert call_step(join, inputs) == (1, 2, 3)
    assert call_step(follow, inputs) == (1, (2, 3))
    assert call_step(follow, {"first": 1, "b": 2}) == (1, (2,))
    assert call_step(lambda *parts, **options: (parts, options), inputs) == ((1, 2, 3), {})


def test_defaults_before_variable_arguments_are_passed() -> None:
    def join(a: Any, sep: Any = ",", *rest: Any, key: Any) -> Any:
        return a, sep, rest, key

    assert call_step(join, {"a": 1, "key": 2, "c": 3}) == (1, ",", (3,), 2)


def test_keyword_only_parameters_are_filled() -> None:
    assert call_step(lambda *, a, rate: (a, rate), {"a": 1}, {"rate": 2}) == (1, 2)


def test_a_function_with_keyword_arguments_takes_inputs_by_name() -> None:
    assert call_step(lambda **values: values, {"a": 1, "b": 2}, {"c": 3}) == {"a": 1, "b": 2}


def test_keyword_arguments_take_inputs_whose_place_is_not_free() -> None:
    function = lambda epochs, **tables: (epochs, tables)  # noqa: E731
    assert call_step(function, {"a": 1, "b": 2}, {"epochs": 3}) == (3, {"a": 1, "b": 2})
    assert call_step(function, {"a": 1, "epochs": 3}) == (3, {"a": 1})


def test_positional_only_parameters_are_passed_by_position() -> None:
    def function(a: int, b: int = 10, c: int = 20, /) -> tuple[int, ...]:
        return a, b, c

    assert call_step(function, {"a": 1, "c": 3}) == (1, 10, 3)


def test_a_builtin_without_signature_takes_its_inputs_in_order() -> None:
    assert call_step(min, {"a": 2, "b": 1}) == 1


def test_parameters_without_a_value_or_default_are_missing() -> None:
    assert bind(lambda a, b, c=1, *args, **kwargs: None, ["a"], ()).missing == ("b",)


def test_a_partial_takes_the_parameters_that_it_leaves() -> None:
    def train(data: Any, rate: Any, epochs: Any = 1) -> Any:
        return data, rate, epochs

    by_keyword = functools.partial(train, rate=0.1)
    assert call_step(by_keyword, {"d": 1}) == (1, 0.1, 1)
    assert call_step(by_keyword, {"d": 1}, {"rate": 0.5, "epochs": 2}) == (1, 0.1, 2)
    assert call_step(functools.partial(train, 7), {}, {"rate": 0.5}) == (7, 0.5, 1)
    assert bind(by_keyword, ["d", "e", "rate"], ()).untaken == ("e", "rate")
    assert bind(functools.partial(train, 7), ["data"], ()).missing == ()
    named = functools.update_wrapper(functools.partial(train, 7), train)
    assert call_step(named, {"r": 0.2}) == (7, 0.2, 1)


class Model:
    def __call__(self, data: Any, *rest: Any) -> Any:
        return data, rest

    def fit(self, data: Any, rate: Any = 1) -> Any:
        return data, rate

    @with_session_first
    def save(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    @staticmethod
    def load(data: Any) -> Any:
        return data

    @functools.lru_cache  # noqa: B019
    def cached(self, data: Any) -> Any:
        return data


def test_methods_and_callable_objects_are_bound_without_self() -> None:
    model = Model()
    assert call_step(model.fit, {"d": 1}, {"rate": 2}) == (1, 2)
    assert call_step(model, {"a": 1, "b": 2}) == (1, (2,))
    assert call_step(model.load, {"a": 1}) == 1
    assert call_step(model.cached, {"a": 1}) == 1
    assert bind(model.cached, [], ()).missing == ("data",)
    assert call_step(vars(Model)["load"], {"a": 1}) == 1
    assert call_step(complex, {"real": 1}, {"imag": 2}) == 1 + 2j


def test_a_decorator_with_wraps_takes_the_parameters_of_its_function_and_its_own() -> None:
    double = scaled(lambda data, rate=1: data * rate)
    assert call_step(double, {"raw": 2}) == 20
    assert call_step(double, {"raw": 2}, {"rate": 3, "factor": 5}) == 30
    assert bind(double, ["a", "b", "c"], ()).untaken == ("c",)


def test_a_required_parameter_of_the_decorator_itself_can_be_missing() -> None:
    def scaled_by(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def inner(*args: Any, factor: float, **kwargs: Any) -> Any:
            return function(*args, **kwargs) * factor

        return inner

    assert bind(scaled_by(lambda data: data), ["data"], ()).missing == ("factor",)


@pytest.mark.parametrize("decorate", [with_session_first, with_session_by_name])
def test_a_decorator_may_pass_an_argument_itself(decorate: Any) -> None:
    @decorate
    def save(session: Any, data: Any, rate: Any = 1) -> Any:
        return session, data, rate

    assert call_step(save, {"data": 5}) == ("session", 5, 1)
    assert call_step(save, {"data": 5}, {"rate": 2}) == ("session", 5, 2)


def test_an_argument_that_a_decorator_passes_first_moves_the_others() -> None:
    @with_session_first
    def save(session: Any, data: Any) -> Any:
        return session, data

    assert call_step(save, {"raw": 5}) == ("session", 5)


def test_arguments_of_mock_patch_come_after_the_inputs() -> None:
    @mock.patch("os.getcwd", return_value="/x")
    @mock.patch("os.getpid")
    def report(data: Any, rate: Any, getpid: Any, getcwd: Any) -> Any:
        return data, rate, getcwd()

    assert call_step(report, {"data": 5}, {"rate": 2}) == (5, 2, "/x")


def test_a_decorator_that_declares_its_parameters_decides_which_ones_it_takes() -> None:
    def save(data: Any, session: Any) -> Any:
        return data, session

    @functools.wraps(save)
    def inner(data: Any) -> Any:
        return save(data, "session")

    assert call_step(inner, {"raw": 5}) == (5, "session")
    assert bind(inner, [], ()).missing == ("data",)
    assert bind(inner, ["data"], ["session"]).arguments.context == ()


def test_a_copied_signature_does_not_hide_that_a_decorator_passes_an_argument() -> None:
    def save(session: Any, data: Any) -> Any:
        return session, data

    save.__signature__ = inspect.signature(save)  # type: ignore[attr-defined]
    assert call_step(with_session_first(save), {"data": 5}) == ("session", 5)


def test_a_decorator_without_wraps_passes_names_and_positions_of_its_function() -> None:
    minus = logged(lambda a, b, rate=1: (a - b) * rate)
    assert call_step(minus, {"b": 1, "a": 5}) == 4
    assert call_step(minus, {"x": 5, "y": 1}, {"rate": 2}) == 8
    assert call_step(logged(lambda *parts: parts), {"a": 1, "b": 2}) == (1, 2)
    assert call_step(logged(min), {"a": 2, "b": 1}) == 1


def test_a_callable_object_without_wraps_passes_names_of_its_function() -> None:
    class Logged:
        def __init__(self, function: Callable[..., Any]) -> None:
            self.function = function

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.function(*args, **kwargs)

    assert call_step(Logged(lambda a, b: a - b), {"b": 1, "a": 5}) == 4
    wrapped = Logged(lambda session, a: a)
    functools.update_wrapper(wrapped, wrapped.function)
    assert bind(wrapped, ["a"], ()).missing == ()


def test_inputs_go_by_position_if_the_function_that_a_callable_holds_does_not_fit() -> None:
    def on_end(result: Any) -> None: ...

    def make(callback: Callable[..., Any]) -> Callable[..., Any]:
        def first_and_last(*args: Any, **kwargs: Any) -> Any:
            callback(args[0])
            return args, kwargs

        return first_and_last

    assert call_step(make(on_end), {"data": 1, "result": 2}) == ((1, 2), {})
    assert call_step(make(on_end), {"result": 2, "data": 1}, {"x": 1}) == ((2, 1), {})


def test_arguments_are_sources_that_can_be_written_down() -> None:
    def train(data: Any, /, extra: Any = 0, *more: Any, rate: Any) -> Any: ...

    assert bind(train, ["data", "x", "y"], ["rate"]).arguments == Arguments(
        (
            Argument("asset", "data"),
            Argument("asset", "x", default_of="extra"),
            Argument("asset", "y"),
        ),
        {"rate": Argument("context", "rate")},
    )


def test_a_condition_gets_the_same_value_as_its_step_for_the_same_parameter() -> None:
    inputs = {"data/train": "train", "data/test": "test"}
    assert call_condition(lambda test: test, lambda train, test: None, inputs) == "test"


def test_a_condition_gets_any_asset_by_its_name() -> None:
    assert call_condition(
        lambda accuracy: accuracy, lambda model: None, {"model": "m"}, assets={"accuracy": 0.9}
    ) == pytest.approx(0.9)


def test_a_condition_gets_the_context_by_name_before_inputs_by_position() -> None:
    assert (
        call_condition(lambda limit: limit, lambda model: None, {"model": "m"}, {"limit": 3}) == 3
    )


def test_a_condition_parameter_with_an_unknown_name_is_filled_by_position() -> None:
    assert call_condition(lambda d: d, lambda data: None, {"data": 5}) == 5


def test_a_condition_parameter_with_a_default_is_not_filled_by_position() -> None:
    condition = lambda d, limit=10: (d, limit)  # noqa: E731
    assert call_condition(condition, lambda a, b: None, {"a": 1, "b": 2}) == (1, 10)


def test_a_condition_without_parameters_is_called_without_arguments() -> None:
    assert call_condition(lambda: False, lambda data: None, {"data": 5}) is False


def test_a_condition_with_variable_arguments_gets_the_inputs() -> None:
    inputs = {"a": 1, "b": 2}
    assert call_condition(lambda *values: values, lambda a, b: None, inputs) == (1, 2)
    assert call_condition(logged(lambda b: b), lambda a, b: None, inputs) == 2


def test_a_condition_parameter_with_two_sources_is_reported() -> None:
    call = bind_condition(lambda limit: limit, bind(lambda: None, [], ()), [], ["limit"], ["limit"])
    assert call.ambiguous == (TwoSources("limit", "limit"),)


_NAMES = "abcde"
_KINDS = [
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.VAR_KEYWORD,
]


@st.composite
def signatures(draw: st.DrawFn) -> inspect.Signature:
    kinds = sorted(draw(st.lists(st.sampled_from(_KINDS[:2] + _KINDS[3:4]), max_size=4)))
    parameters: list[inspect.Parameter] = []
    has_default = False
    for name, kind in zip(draw(st.permutations(_NAMES)), kinds, strict=False):
        if kind is inspect.Parameter.KEYWORD_ONLY:
            has_default = False
        has_default = has_default or draw(st.booleans())
        default = f"default of {name}" if has_default else inspect.Parameter.empty
        parameters.append(inspect.Parameter(name, kind, default=default))
    for kind in draw(st.sets(st.sampled_from([_KINDS[2], _KINDS[4]]))):
        name = "args" if kind is inspect.Parameter.VAR_POSITIONAL else "kwargs"
        parameters.append(inspect.Parameter(name, kind))
    return inspect.Signature(sorted(parameters, key=lambda p: p.kind))


def function_of(signature: inspect.Signature) -> Callable[..., Any]:
    """Return a function of this signature that returns its arguments by parameter."""
    names = {"defaults": {name: p.default for name, p in signature.parameters.items()}}
    declared = inspect.Signature(
        [
            p if p.default is p.empty else p.replace(default=_Reference(name))
            for name, p in signature.parameters.items()
        ]
    )
    exec(f"def function{declared}: return dict(locals())", names)
    return names["function"]  # type: ignore[return-value]


class _Reference:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"defaults[{self.name!r}]"


@examples(300)
@given(
    signatures(),
    st.lists(st.sampled_from([*_NAMES, "x", "y", "data/z"]), unique=True, max_size=4),
    st.sets(st.sampled_from([*_NAMES, "w"])),
)
def test_a_call_is_that_of_plain_python(
    signature: inspect.Signature, inputs: list[str], context: set[str]
) -> None:
    function = function_of(signature)
    named = {n for n, p in signature.parameters.items() if p.kind in (_KINDS[0], *_KINDS[1::2])}
    positional = [n for n, p in signature.parameters.items() if p.kind in _KINDS[:2]]
    has_args, has_kwargs = "args" in signature.parameters, "kwargs" in signature.parameters
    values = {asset: f"value of {asset}" for asset in inputs}
    parameters = {name: f"context {name}" for name in context}
    # The plain call: inputs by position, except those that have the name of a parameter.
    by_position = [asset for asset in inputs if asset not in named]
    keywords = {a: v for a, v in values.items() if a in named}
    keywords |= {
        name: v for name, v in parameters.items() if name in named and name not in keywords
    }
    # Assets at other indexes than in a call, and names that only `**kwargs` or nothing can take,
    # have rules of their own, with examples above.
    assume(inputs[: len(by_position)] == by_position)
    assume(not (has_kwargs and len(by_position) > len(positional) and not has_args))
    assume(not any(signature.parameters[name].kind is _KINDS[0] for name in keywords))
    call = bind(function, inputs, context)
    clashes = [name for name in inputs if name in named and name in context]
    clashes += [n for n in positional[: len(by_position)] if n in keywords]
    arguments = [values[asset] for asset in by_position]
    if clashes:
        assert has_kwargs or mistakes(call)
        return
    try:
        plain = signature.bind(*arguments, **keywords)
    except TypeError:
        assert mistakes(call), call
        return
    assert not mistakes(call), call
    expected = function(*plain.args, **plain.kwargs)
    assert call.arguments.call(function, values, parameters) == expected
