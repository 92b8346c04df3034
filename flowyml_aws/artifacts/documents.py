"""Base class of the JSON documents that processes exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError

from flowyml_aws.core.errors import DamagedArtifactError, SettingsError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Document", "read_document"]

DocumentT = TypeVar("DocumentT", bound="Document")

_UNKNOWN: set[str] = set()


class Document(BaseModel):
    """A frozen model that is stored as JSON. Unknown fields are an error.

    Attributes:
        omits_defaults: Whether JSON leaves out fields that have their default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    omits_defaults: ClassVar[bool] = False

    def model_post_init(self, context: Any, /) -> None:
        """Drop the names of the fields that were given; they take more memory than most values."""
        object.__setattr__(self, "__pydantic_fields_set__", _UNKNOWN)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields changed, which are not validated."""
        copied = super().model_copy(update=update, deep=deep)
        copied.model_post_init(None)
        return copied

    def to_json(self, indent: int | None = 1) -> bytes:
        """Return deterministic JSON.

        Args:
            indent: Spaces for each level; None for one line.

        Raises:
            SettingsError: A string contains half of a surrogate pair, which UTF-8 can't represent.
        """
        try:
            # As `model_dump_json`, but without a second copy: plans have megabytes.
            return self.__pydantic_serializer__.to_json(
                self, indent=indent, exclude_defaults=self.omits_defaults, context={}
            )
        except (PydanticSerializationError, UnicodeEncodeError) as error:
            raise SettingsError(
                what="A name or a value has characters that UTF-8 can't represent",
                why=str(error),
                fix="correct the names of pipeline, steps, groups and assets, the arguments and "
                "the context",
            ) from error


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
        return document_type.model_validate_json(data, context={})
    except ValidationError as error:
        first = error.errors()[0]
        raise DamagedArtifactError(
            what=f"{uri} is not a {document_type.__name__} that this version of flowyml-aws reads",
            why=f"{'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}",
            fix="use the version of flowyml-aws that wrote it, in the client and in the image",
        ) from error
