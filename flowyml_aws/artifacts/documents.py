"""Base class of the JSON documents that processes exchange."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError

from flowyml_aws.core.errors import DamagedArtifactError, SettingsError

__all__ = ["Document", "read_document", "shared"]

DocumentT = TypeVar("DocumentT", bound="Document")
HashableT = TypeVar("HashableT", bound=Hashable)

_UNKNOWN: set[str] = set()


class Document(BaseModel):
    """A frozen model that is stored as JSON. Unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_post_init(self, context: Any, /) -> None:
        """Drop the names of the fields that were given; they take more memory than most values."""
        object.__setattr__(self, "__pydantic_fields_set__", _UNKNOWN)

    def to_json(self, indent: int | None = 1) -> bytes:
        """Return deterministic JSON.

        Args:
            indent: Spaces for each level; None for one line.

        Raises:
            SettingsError: A string contains half of a surrogate pair, which UTF-8 can't represent.
        """
        try:
            # As `model_dump_json`, but without a second copy: plans have megabytes.
            return self.__pydantic_serializer__.to_json(self, indent=indent)
        except (PydanticSerializationError, UnicodeEncodeError) as error:
            raise SettingsError(
                what="A name or a value has characters that UTF-8 can't represent",
                why=str(error),
                fix="correct the names of pipeline, steps, groups and assets, the arguments and "
                "the context",
            ) from error


@lru_cache(maxsize=4096)
def shared(value: HashableT) -> HashableT:
    """Return an equal value that was given earlier, if there is one.

    For values that are equal in many documents, so that memory contains them once.
    """
    return value


def read_document(document_type: type[DocumentT], data: bytes, uri: str) -> DocumentT:
    """Parse a JSON document.

    Args:
        document_type: Expected class of the document.
        data: JSON.
        uri: URI for the error message.

    Raises:
        DamagedArtifactError: The bytes are not a document of this class and version.
    """
    try:
        return document_type.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise DamagedArtifactError(
            what=f"{uri} is not a {document_type.__name__} that this version of flowyml-aws reads",
            why=f"{'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}",
            fix="use the version of flowyml-aws that wrote it, in the client and in the image",
        ) from error
