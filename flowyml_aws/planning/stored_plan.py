"""The plan of a run as it is stored: values that many jobs have in common are in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import (
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.artifacts.tables import distinct, use_tables
from flowyml_aws.core.job_options import JobOptions
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer
from flowyml_aws.runtime.causes import Cause

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["StoredPlan"]


class _JobTables(Document):
    """Distinct values of the jobs of a plan, by the names of their fields in `PlannedJob`."""

    needs: tuple[Needs, ...]
    offers: tuple[tuple[InstanceOffer, ...], ...]
    highest: tuple[InstanceOffer | None, ...]
    moves: tuple[dict[Cause, int], ...]
    environment: tuple[dict[str, str], ...]
    secrets: tuple[dict[str, str], ...]
    notes: tuple[tuple[str, ...], ...]
    options: tuple[JobOptions, ...] = ()  # plans of earlier versions have none


class StoredPlan(Document):
    """A plan whose JSON contains equal values of its jobs only once, and no default values.

    Attributes:
        tables: Values of the jobs, which refer to them by position.
        plan: The plan.
    """

    omits_defaults: ClassVar[bool] = True

    version: Literal[2]
    tables: _JobTables
    plan: ExecutionPlan

    @classmethod
    def of(cls, plan: ExecutionPlan) -> Self:
        """Return a plan with tables of the values of its jobs."""
        tables = {
            name: distinct(getattr(job, name) for job in plan.jobs)
            for name in _JobTables.model_fields
        }
        return cls(version=2, tables=_JobTables(**tables), plan=plan)

    @field_validator("tables")
    @classmethod
    def _read_tables(cls, tables: _JobTables, info: ValidationInfo) -> _JobTables:
        use_tables(tables, info)
        return tables

    @field_serializer("tables", mode="wrap")
    def _write_tables(
        self, tables: _JobTables, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> Any:
        use_tables(tables, info)
        return handler(tables)
