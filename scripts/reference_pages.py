"""Pages of the reference that are made from the code."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from griffe import DocstringSectionAttributes, load
from typer.cli import get_docs_for_click

import flowyml_aws
from flowyml_aws.cli.main import app
from flowyml_aws.settings.model import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "flowyml_aws"


def commands() -> str:
    """Return the page of all commands with their options, as `--help` shows them."""
    command = typer.main.get_command(app)
    page = get_docs_for_click(
        obj=command, ctx=typer.Context(command, info_name="flowyml-aws"), name="flowyml-aws"
    )
    # Placeholders such as <str> would be HTML.
    text = re.sub(r"^# .*", "# Commands\n\nWhat `flowyml-aws COMMAND --help` shows.", page, count=1)
    return re.sub(r"<(\w[\w ]*)>(?![^`]*`:)", r"\\<\1>", text)


def settings() -> str:
    """Return the page of all settings, from the model's docstring, types and defaults."""
    module = load("flowyml_aws.settings.model", search_paths=[ROOT], docstring_parser="google")
    sections = module["Settings"].docstring.parsed
    described = {
        attribute.name: " ".join(attribute.description.split())
        for section in sections
        if isinstance(section, DocstringSectionAttributes)
        for attribute in section.value
    }
    rows = []
    for field in dataclasses.fields(Settings):
        value = field.default_factory() if callable(field.default_factory) else field.default
        default = "" if value in (None, (), {}) else f"`{value}`"
        kind = str(field.type).replace("|", "\\|")
        text = described[field.name].replace("|", "\\|")
        rows.append(f"| `{field.name}` | `{kind}` | {default} | {text} |")
    return "\n".join(
        (
            "# Settings",
            "",
            "In `[tool.flowyml-aws]` of `pyproject.toml`, in `flowyml-aws.toml`, as an environment"
            f" variable with the prefix `{PREFIX}` and the name in capitals, or in the account's"
            " parameter: [which one counts](../running.md#settings).",
            "",
            "| setting | type | default | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        )
    )


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Message:
    """A message of an error in the source; `…` is a part that is only known when it is raised."""

    what: str
    why: str
    fix: str


def _text(node: ast.expr) -> str | None:
    """Return the text of an expression, or None if it has no words of its own."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        return "".join(map(str, parts))
    if isinstance(node, ast.IfExp):
        return " / ".join(filter(None, (_text(node.body), _text(node.orelse)))) or None
    return None


def _messages(errors: set[str]) -> Iterator[tuple[str, Message]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in errors
            ):
                continue
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            named |= dict(zip(("what", "why", "fix"), node.args, strict=False))
            if (what := named.get("what")) is None or (text := _text(what)) is None:
                continue
            parts = (_text(named[part]) or "…" if part in named else "" for part in ("why", "fix"))
            yield node.func.id, Message(text, *parts)


def _classes() -> dict[str, tuple[str, str]]:
    """Return the base and the first sentence of each error of the package, by name."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error") and node.bases:
                docstring = (ast.get_docstring(node) or "").split("\n\n")[0]
                found[node.name] = (ast.unparse(node.bases[0]), " ".join(docstring.split()))
    return found


def errors() -> str:
    """Return the page of all errors: exit code, cause, and every message with its remedy."""
    classes = _classes()

    def ancestors(name: str) -> Iterator[str]:
        while name in classes:
            yield name
            name = classes[name][0]

    expected = {name for name in classes if "FlowymlError" in ancestors(name)}
    messages: dict[str, set[Message]] = defaultdict(set)
    for name, message in _messages(expected):
        messages[name].add(message)
    codes = {
        "UserError": 2,
        "AccountError": 3,
        "JobError": 1,
        "DataError": 4,
        "UnexpectedError": 70,
        "OutputError": 74,
    }
    lines = [
        "# Errors",
        "",
        "Every error says what failed, why, and what to do. `…` is a name or a value. The"
        " codes of `doctor` are in [Diagnosing problems](../doctor.md), and the exit codes in"
        " [Running pipelines](../running.md#exit-codes).",
        "",
    ]
    for name in sorted(expected, key=lambda name: ([*reversed([*ancestors(name)])], name)):
        code = next((codes[parent] for parent in ancestors(name) if parent in codes), 2)
        lines += [f"## {name}", "", f"{classes[name][1]} Exit code {code}.", ""]
        if messages[name]:
            lines += ["| what | why | fix |", "|---|---|---|"]
            lines += [
                f"| {_cell(m.what)} | {_cell(m.why)} | {_cell(m.fix)} |"
                for m in sorted(messages[name])
            ]
            lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return re.sub(r"([\\|<>*_\[\]])", r"\\\1", " ".join(text.split()))


def python() -> str:
    """Return the page of the public names of the package."""
    names = [name for name in flowyml_aws.__all__ if name != "__version__"]
    first = ("step", "Pipeline", "Context", "ResourceRequirements", "GPUConfig", "NodeAffinity")
    ordered = [*first, *(name for name in names if name not in first)]
    entries = (f"::: flowyml_aws.{name}\n" for name in ordered)
    more = "[Stability](../stability.md) says what else is public."
    return "\n".join(["# Python", "", f"The public names of `flowyml_aws`. {more}", "", *entries])


REFERENCE: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "errors.md": errors,
    "python.md": python,
    "settings.md": settings,
}
"""Functions that write the pages, by file name."""
