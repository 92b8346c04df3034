"""Random small programs: a function of a job returns what it returns on the client."""

from __future__ import annotations

import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.runtime.scripts import run_script
from tests.support.effort import examples

pytestmark = pytest.mark.contract

# Values whose `repr` is valid source code, which inf and nan do not have.
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
plain = st.none() | st.booleans() | numbers | st.text(max_size=5)
keys = st.integers(-3, 3) | st.text("ab", max_size=2)
data = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=3)
        | st.sets(keys, min_size=1, max_size=4)
    ),
    max_leaves=6,
)
# Processes with different seeds of string hashes print equal sets in different orders.
SHOWING = """
def show(value):
    if isinstance(value, set):
        return f"set({sorted(map(show, value))})"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({[show(item) for item in value]})"
    if isinstance(value, dict):
        return f"dict({[(show(key), show(item)) for key, item in value.items()]})"
    return repr(value)
"""
CHANGES: dict[type, str] = {
    list: "{}.append({!r})",
    dict: "{}.update(new={!r})",
    set: "{}.add(repr({!r}))",
}


@st.composite
def programs(draw: st.DrawFn) -> dict[str, str]:
    """Draw the sources of a script and of a module that it imports.

    The script has names for data, some of them for the same objects, changes some objects and
    names below its guard, and has functions that read them in several ways.
    """
    kinds: dict[str, type] = {}
    sources: dict[str, list[str]] = {"library": [], "script": ["import library"]}
    for number in range(draw(st.integers(3, 8))):
        home = draw(st.sampled_from(["library", "script"]))
        name, spelling = f"v{number}", f"v{number}" if home == "script" else f"library.v{number}"
        old = [n for n in kinds if home == "script" or n.startswith("library.")]
        form = draw(st.sampled_from(["data", "same", "inside"])) if old else "data"
        if form == "data":
            value = draw(data)
            text, kinds[spelling] = repr(value), type(value)
        else:
            other = draw(st.sampled_from(old))
            own = other if home == "script" else other.removeprefix("library.")
            text, kinds[spelling] = (own, kinds[other]) if form == "same" else (f"[{own}]", list)
        sources[home].append(f"{name} = {text}")
    changes = []
    for name in draw(st.lists(st.sampled_from(sorted(kinds)), max_size=4)):
        value = draw(plain)
        change = CHANGES.get(kinds[name])
        if change is None or draw(st.booleans()):
            changes.append(f"{name} = {value!r}")
            kinds[name] = type(value)
        else:
            changes.append(change.format(name, value))
    names = sorted(kinds)
    functions = []
    for number in range(draw(st.integers(2, 5))):
        first, second = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        functions.append(
            draw(
                st.sampled_from(
                    [
                        f"def f{number}(): return {first}, {second}",
                        f"def f{number}(x={first}): return x, x is {second}",
                        f"f{number} = (lambda x: lambda: (x, {second} is x))({first})",
                        f"def f{number}(): return [show({first}) for _ in {{'a'}}]",
                        f"class C{number}: x = {first}\n"
                        f"def f{number}(): return C{number}.x, {second}",
                    ]
                )
            )
        )
    body = "\n".join([*sources["script"], *functions])
    calls = ", ".join(f"f{number}()" for number in range(len(functions)))
    below = textwrap.indent("\n".join(changes) or "pass", "    ")
    script = f"""
from flowyml_aws import Pipeline, step
from showing import show
{body}

@step(outputs=["seen"])
def read():
    return show([{calls}])

if __name__ == "__main__":
    import json
{below}
    result = Pipeline("p").add_step(read).run(progress=False)
    print(json.dumps({{"client": show([{calls}]), "job": result["seen"]}}))
"""
    return {"library": "\n".join(sources["library"]), "script": script}


@examples(3, thorough=100, suppress_health_check=[HealthCheck.too_slow])
@given(programs())
def test_functions_of_a_random_program_return_the_same_in_a_job(program: dict[str, str]) -> None:
    with TemporaryDirectory() as name:
        (Path(name) / "pyproject.toml").touch()
        files = {"library": program["library"], "showing": SHOWING}
        seen = run_script(Path(name), program["script"], "", **files)
    assert seen["job"] == seen["client"]
