"""Parameters of the items of mapped steps as short strings, for readers of a run's report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowyml_aws.core.environment import sign_of_secret
from flowyml_aws.core.graph import StepGraph

__all__ = ["item_parameters"]

_MAX_TEXT = 40
_MAX_PARTS = 8
_SIMPLE = (str, int, float, bool, type(None))


def item_parameters(
    graph: StepGraph, values: Mapping[str, Any]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the parameters of each item: by mapped step and parameter, one text for each item.

    An item that reads an item of another mapped step has its parameters, too.

    Args:
        graph: Graph of all items.
        values: Values of the external inputs of items, by asset.
    """
    texts: dict[str, str] = {}
    found: dict[str, dict[str, str]] = {}
    columns: dict[str, dict[str, list[str]]] = {}
    for step in graph.steps:  # in running order
        if step.item is None:
            continue
        of_item: dict[str, str] = {}
        for asset in graph.reads[step.name]:
            if asset in values:
                name = graph.declared.get(asset, asset)
                if asset not in texts:
                    texts[asset] = _text(name, values[asset])
                of_item[name] = texts[asset]
            elif asset in step.inputs:
                of_item.update(found.get(graph.producers.get(asset, ""), {}))
        found[step.name] = of_item
        column = columns.setdefault(step.declared_name, {})
        for name, text in of_item.items():
            column.setdefault(name, []).append(text)
    return {
        step: {name: tuple(column) for name, column in each.items()}
        for step, each in columns.items()
        if each
    }


def _text(name: str, value: Any) -> str:
    """Return a short text of a value; of a value that is not simple, its type."""
    parts = value if isinstance(value, (list, tuple)) else (value,)
    if len(parts) > _MAX_PARTS or not all(isinstance(part, _SIMPLE) for part in parts):
        return f"<{type(value).__name__}>"
    text = value if isinstance(value, str) else repr(value)
    if sign_of_secret(name, text) is not None:
        return "<not recorded>"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
