"""Values that are equal in many parts of a document, and that its JSON contains once, in tables.

Tables come before the parts that refer to them, so a document is read and written in one pass.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from pydantic import (
    GetCoreSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
)
from pydantic_core import CoreSchema, core_schema

from flowyml_aws.artifacts.documents import Document

__all__ = ["InTable", "SharedValues", "distinct", "use_tables"]

DocumentT = TypeVar("DocumentT", bound=Document)


def distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return the values without repetitions, in the order of their first occurrence."""
    return tuple({_key(value): value for value in values}.values())


def use_tables(tables: Document, info: ValidationInfo | SerializationInfo) -> None:
    """Use the fields of a document as tables for all that is read or written after it."""
    if info.context is not None:
        for name in type(tables).model_fields:
            info.context[name] = _Table.of(getattr(tables, name))


@dataclass(frozen=True, slots=True)
class InTable:
    """Annotation of a value that is in a table, if the document has tables.

    JSON has the value's position instead of the value. Parts of a document that refer to the same
    position share the value in memory.

    Attributes:
        name: Name of the table.
    """

    name: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        return core_schema.with_info_wrap_validator_function(
            self._read,
            schema,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                self._write, info_arg=True, schema=schema
            ),
        )

    def _read(self, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        table = self._table(info)
        if table is None or type(value) is not int:
            return handler(value)
        if not 0 <= value < len(table.values):
            raise ValueError(f"table {self.name!r} has no position {value}")
        return table.values[value]

    def _write(
        self, value: Any, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> Any:
        table = self._table(info)
        return handler(value) if table is None else table.positions[_key(value)]

    def _table(self, info: ValidationInfo | SerializationInfo) -> _Table | None:
        return info.context.get(self.name) if info.context is not None else None


@dataclass(frozen=True, slots=True)
class SharedValues:
    """Values that many documents have in memory once, as documents that were read from tables."""

    _known: dict[Hashable, Any] = field(default_factory=dict)

    def shared_by(self, document: DocumentT, **fields: Any) -> DocumentT:
        """Return the document with values that are in tables from equal documents before it.

        Empty mappings are shared, too.

        Args:
            document: The document.
            **fields: Values of other fields, which documents share already. They are not checked.
        """
        in_tables = _names_in_tables(type(document))
        shared = {
            name: self._known.setdefault((name, _key(value)), value)
            for name, value in vars(document).items()
            if name in in_tables or value == {}
        }
        return document.model_copy(update={**shared, **fields})


@cache
def _names_in_tables(document_type: type[Document]) -> frozenset[str]:
    """Return the fields of a document whose values are in tables."""
    return frozenset(
        name
        for name, info in document_type.model_fields.items()
        if any(isinstance(each, InTable) for each in info.metadata)
    )


@dataclass(frozen=True, slots=True)
class _Table:
    values: tuple[Any, ...]
    positions: Mapping[Hashable, int]

    @classmethod
    def of(cls, values: tuple[Any, ...]) -> _Table:
        return cls(values, {_key(value): number for number, value in enumerate(values)})


def _key(value: Any) -> Hashable:
    return tuple(value.items()) if isinstance(value, dict) else value
