"""The base of every JSON document that crosses a process."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from flowyml_aws.core.errors import DamagedArtifactError

__all__ = ["Document", "read_document"]

Kind = TypeVar("Kind", bound="Document")


class Document(BaseModel):
    """A frozen value that is written as JSON; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> bytes:
        """Deterministic, readable JSON."""
        return self.model_dump_json(indent=1).encode()


def read_document(kind: type[Kind], data: bytes, where: str) -> Kind:
    """The document that these bytes hold.

    Args:
        kind: Its class.
        data: JSON.
        where: URI for the error.

    Raises:
        DamagedArtifactError: The bytes are no such document, or one of another version.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise DamagedArtifactError(
            what=f"{where} is no {kind.__name__} that this version of flowyml-aws reads",
            why=f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}",
            fix="use the version of flowyml-aws that wrote it, in the client and in the image",
        ) from error
