"""Prefixes of S3 as inputs of runs: listed by the client, and downloaded by jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.artifacts.content import part_count, part_range, write_at
from flowyml_aws.artifacts.folder_transfer import filled_folder, paths_below
from flowyml_aws.artifacts.parallel import BUFFERED_PART_SLOTS, for_each_part
from flowyml_aws.artifacts.prefix_listing import PrefixListing, PrefixObject
from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.aws.s3.job_client import job_client
from flowyml_aws.aws.s3.patience import CLIENT, Repetition, patience_of_job
from flowyml_aws.aws.s3.ranges import TooShortError, read_range
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.data_inputs import S3Prefix
from flowyml_aws.core.errors import ChangedFileError, FlowymlError, InvalidDataError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

__all__ = ["S3Prefixes", "open_job_prefixes"]

Result = TypeVar("Result")

# The object was written or deleted after it was listed.
_CHANGED = {"412", "PreconditionFailed", "404", "NoSuchKey"}


class S3Prefixes:
    """Reads prefixes of any bucket.

    Args:
        client: S3 client with at least `parallel.CONNECTIONS` connections.
        repeat: Repetition of calls during an outage; that of a client by default.
    """

    def __init__(self, client: S3Client, repeat: Repetition | None = None) -> None:
        self._client = client
        self._repeat = repeat or Repetition(CLIENT)

    def listing(self, prefix: S3Prefix) -> PrefixListing:
        """Return the objects below a prefix. Those that end with a slash are folders of a console.

        Raises:
            InvalidDataError: There are no objects, or a key can't be the path of a file.
            AwsRefusedError: S3 denied the call.
        """
        objects = [
            PrefixObject(path=path, size_bytes=entry["Size"], etag=entry["ETag"])
            for page in self._pages(prefix)
            for entry in page.get("Contents", ())
            if (path := entry["Key"].removeprefix(prefix.prefix)) and not path.endswith("/")
        ]
        if not objects:
            raise InvalidDataError(
                what=f"S3 prefix is empty: {prefix.uri}",
                why="no object has a key that starts with it",
                fix="correct the URI, or write the objects before the run",
            )
        _check_paths(prefix, [each.path for each in objects])
        return PrefixListing(uri=prefix.uri, objects=tuple(objects))

    def download(self, listing: PrefixListing, asset: str, folder: Path) -> Path:
        """Write the objects of a listing to a new folder, several at once, and return its path.

        Args:
            listing: The objects. Those that were written since are not in the folder.
            asset: Name of the asset, for the name of the new folder.
            folder: Folder that gets the new one; it is created if it does not exist.

        Raises:
            ChangedFileError: An object of the listing was changed or deleted.
            AwsRefusedError: S3 denied a call.
            SettingsError: A file can't be written.
        """
        prefix = S3Prefix(listing.uri)
        with filled_folder(asset, folder) as new:
            paths = paths_below(new, [each.path for each in listing.objects])
            map_concurrently(
                lambda each: self._download(prefix, *each),
                zip(listing.objects, paths, strict=True),
                limit=STORE_REQUESTS,
            )
        return new

    def check(self, listing: PrefixListing) -> None:
        """Check that a prefix has exactly the objects of a listing.

        Raises:
            ChangedFileError: An object was changed, added or deleted.
            AwsRefusedError: S3 denied the call.
        """
        try:
            objects = self.listing(S3Prefix(listing.uri)).objects
        except InvalidDataError as error:
            raise _changed(listing.uri) from error
        if different := {*objects}.symmetric_difference(listing.objects):
            raise _changed(f"{listing.uri}{min(each.path for each in different)}")

    def _download(self, prefix: S3Prefix, listed: PrefixObject, path: Path) -> None:
        with path.open("xb", buffering=0) as file:
            if listed.size_bytes:
                read = partial(self._read_part, prefix, listed, file)
                for_each_part(part_count(listed.size_bytes), read, BUFFERED_PART_SLOTS)

    def _read_part(
        self, prefix: S3Prefix, listed: PrefixObject, file: IO[bytes], index: int
    ) -> None:
        start, end = part_range(listed.size_bytes, index)
        buffer = memoryview(bytearray(end - start))
        key, uri = f"{prefix.prefix}{listed.path}", f"{prefix.uri}{listed.path}"

        def read() -> int:
            return read_range(self._client, prefix.bucket, key, start, buffer, IfMatch=listed.etag)

        try:
            with _translated(f"read {uri}"):
                self._repeat(read, f"read {uri}")
        except TooShortError as error:
            raise _changed(uri) from error
        write_at(file, buffer, start)

    def _pages(self, prefix: S3Prefix) -> Iterator[ListObjectsV2OutputTypeDef]:
        list_page = partial(
            self._client.list_objects_v2, Bucket=prefix.bucket, Prefix=prefix.prefix
        )
        doing = f"list {prefix.uri}"
        try:
            page = self._repeat(list_page, doing)
            yield page
            while (token := page.get("NextContinuationToken")) is not None:
                page = self._repeat(partial(list_page, ContinuationToken=token), doing)
                yield page
        except ClientError as error:
            raise _unlisted(prefix, error) from error
        except BotoCoreError as error:
            raise refused(error, doing) from error


def open_job_prefixes(wait_s: float, say: Callable[[str], None]) -> S3Prefixes:
    """Return the prefixes as a job reads them, with the credentials of its role.

    Args:
        wait_s: Seconds for which calls are repeated during an outage.
        say: Called with a sentence when an outage begins and when it ends.
    """
    return S3Prefixes(job_client(), Repetition(patience_of_job(wait_s), say))


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Translate boto3's errors."""
    try:
        yield
    except ClientError as error:
        if error_code(error) in _CHANGED:
            raise _changed(doing.partition(" ")[2]) from error
        raise refused(error, doing) from error
    except BotoCoreError as error:
        raise refused(error, doing) from error


def _unlisted(prefix: S3Prefix, error: ClientError) -> FlowymlError:
    code = error_code(error)
    if code == "NoSuchBucket":
        return InvalidDataError(
            what=f"S3 bucket not found: {prefix.uri}",
            why=f"there is no bucket with the name {prefix.bucket!r}",
            fix="correct the URI",
        )
    problem = refused(error, f"list {prefix.uri}")
    if code != "AccessDenied":
        return problem
    option = f'the option data_buckets = ["{prefix.bucket}"] of infra/ allows it'
    return type(problem)(problem.what, problem.why, f"{problem.fix}; {option}")


def _changed(uri: str) -> ChangedFileError:
    return ChangedFileError(
        what=f"{uri} has changed since the run was planned",
        why="it was written or deleted, and its result would be stored as that of the "
        "earlier objects",
        fix="run the pipeline again, after everything that writes below the prefix has finished",
    )


def _check_paths(prefix: S3Prefix, paths: list[str]) -> None:
    """Check that each key is the path of a file.

    Raises:
        InvalidDataError: A key is not, or is also that of a folder.
    """
    folders = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
    for path in paths:
        if str(PurePosixPath(path)) != path or ".." in path.split("/") or path.startswith("/"):
            why = "a part of its key is empty, `.` or `..`, which no path of a file can have"
        elif path in folders:
            why = "other keys continue it with a slash, so that it would be a file and a folder"
        else:
            continue
        raise InvalidDataError(
            what=f"{prefix.uri}{path} can't be a file",
            why=why,
            fix="copy the object to another key, or use a longer prefix without it",
        )
