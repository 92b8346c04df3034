"""The use of a condition's parameter in its code: as a view of the run, and of what.

Read from bytecode, because a lambda often has no source text that can be parsed.
"""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType, MethodType
from typing import Any

__all__ = ["ViewUse", "view_use"]


@dataclass(slots=True)
class ViewUse:
    """The parts of a view that code reads through a parameter.

    Attributes:
        steps: Names in `ctx.steps["…"]`.
        outputs: Steps and names in `ctx.steps["…"].outputs["…"]`, except in code that tests whether
            something exists, or catches exceptions.
        params: Names in `ctx.params["…"]`.
        items: Names in `ctx["…"]`.
        any_step: Whether the code reads steps in another way.
        any_param: Whether the code reads context values in another way.
        any_item: Whether the code reads `ctx[…]` with an expression.
        any_other: Whether the code uses the parameter in another way, or can't be read.
        strings: All strings in the code, in its closure and among the globals that it reads.
    """

    steps: set[str] = field(default_factory=set)
    outputs: set[tuple[str, str]] = field(default_factory=set)
    params: set[str] = field(default_factory=set)
    items: set[str] = field(default_factory=set)
    any_step: bool = False
    any_param: bool = False
    any_item: bool = False
    any_other: bool = False
    strings: set[str] = field(default_factory=set)

    @property
    def is_view(self) -> bool:
        """True if the code uses the parameter as a view, or not at all."""
        names = self.steps or self.params or self.items
        is_read = bool(names or self.any_step or self.any_param or self.any_item)
        return is_read or not self.any_other


def view_use(condition: Callable[..., Any], parameter: str) -> ViewUse:
    """Return how the code of a condition uses a parameter as a view.

    Functions of the same package that the condition calls by name are read, too: their first
    parameter is taken for the view.
    """
    use = ViewUse()
    function = _function_of(condition)
    if function is None:
        use.any_other = True
    else:
        _read(function, parameter, use, {function.__code__})
    return use


def _function_of(condition: Any) -> FunctionType | None:
    while not isinstance(condition, FunctionType):
        if isinstance(condition, functools.partial):
            condition = condition.func
        elif isinstance(condition, MethodType):
            condition = condition.__func__
        else:
            condition = inspect.getattr_static(type(condition), "__call__", None)
            if not isinstance(condition, FunctionType):
                return None
    unwrapped = inspect.unwrap(condition)
    return unwrapped if isinstance(unwrapped, FunctionType) else condition


def _read(function: FunctionType, parameter: str, use: ViewUse, seen: set[CodeType]) -> None:
    names: set[str] = set()
    for code in _nested(function.__code__):
        _read_code(code, parameter, use)
        names.update(code.co_names)
    values = [function.__globals__[name] for name in names if name in function.__globals__]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # an empty cell
            continue
    values += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    use.strings.update(value for value in values if isinstance(value, str))
    for value in values:
        if not isinstance(value, FunctionType) or value.__code__ in seen:
            continue
        if _package(value) == _package(function) and value.__code__.co_argcount:
            seen.add(value.__code__)
            _read(value, value.__code__.co_varnames[0], use, seen)


def _package(function: FunctionType) -> str:
    return (function.__module__ or "").partition(".")[0]


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _read_code(code: CodeType, parameter: str, use: ViewUse) -> None:
    use.strings.update(_strings(code.co_consts))
    instructions = [i for i in dis.get_instructions(code) if i.opname not in _WITHOUT_EFFECT]
    is_careful = any(i.opname in _OF_TESTS for i in instructions)
    for position, instruction in enumerate(instructions):
        if not _loads(instruction, parameter):
            continue
        following = instructions[position + 1 : position + 7]
        first, second, third, fourth, fifth, sixth = (*following, *[None] * 6)[:6]
        attribute = _attribute(first)
        if attribute == "steps":
            if (name := _key(second, third)) is not None:
                use.steps.add(name)
                output = _key(fifth, sixth) if _attribute(fourth) == "outputs" else None
                if output is not None and not is_careful:
                    use.outputs.add((name, output))
            else:
                use.any_step = True
        elif attribute == "params":
            if (name := _key(second, third)) is not None:
                use.params.add(name)
            elif _attribute(second) == "get" and _is_string(third):
                use.strings.add(third.argval)  # type: ignore[union-attr]
                use.any_param = True
            else:
                use.any_param = True
        elif (name := _key(first, second)) is not None:
            use.items.add(name)
        elif _is_subscript(second):
            use.any_item = True
        else:
            use.any_other = True


def _loads(instruction: dis.Instruction, name: str) -> bool:
    if not instruction.opname.startswith("LOAD_"):
        return False
    loaded = instruction.argval
    return loaded[-1:] == (name,) if isinstance(loaded, tuple) else loaded == name


_OF_TESTS = {"CONTAINS_OP", "PUSH_EXC_INFO", "SETUP_FINALLY"}
_WITHOUT_EFFECT = {"CACHE", "EXTENDED_ARG", "NOP", "PUSH_NULL", "RESUME"}


def _strings(constants: tuple[Any, ...]) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, (tuple, frozenset)):
            yield from _strings(tuple(constant))


def _attribute(instruction: dis.Instruction | None) -> str | None:
    """Return the attribute that an instruction reads."""
    if instruction is None or instruction.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
        return None
    return str(instruction.argval)


def _key(load: dis.Instruction | None, subscript: dis.Instruction | None) -> str | None:
    """Return the string with which two instructions read an item."""
    if load is None or not _is_string(load) or not _is_subscript(subscript):
        return None
    return str(load.argval)


def _is_string(instruction: dis.Instruction | None) -> bool:
    return (
        instruction is not None
        and instruction.opname == "LOAD_CONST"
        and isinstance(instruction.argval, str)
    )


def _is_subscript(instruction: dis.Instruction | None) -> bool:
    if instruction is None:
        return False
    is_operator = instruction.opname == "BINARY_OP" and instruction.argrepr == "[]"
    return is_operator or instruction.opname == "BINARY_SUBSCR"
