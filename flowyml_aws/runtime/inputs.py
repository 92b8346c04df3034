"""Stored assets that the steps of a job read: where they are, and why one does not exist."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.folder_index import FOLDER_INDEX
from flowyml_aws.artifacts.joint_reads import JointReads, group_by_object
from flowyml_aws.artifacts.lazy.handle import Facts, Lazy, Source
from flowyml_aws.artifacts.lazy.lists import StoredList
from flowyml_aws.artifacts.lazy.pieces import LazyAccessError, Pieces
from flowyml_aws.artifacts.lazy.stored import stored_pieces
from flowyml_aws.artifacts.list_index import LIST_INDEX, ListIndex, ListItem
from flowyml_aws.artifacts.members import with_members
from flowyml_aws.artifacts.prefix_listing import PrefixListing
from flowyml_aws.artifacts.reading import is_intact
from flowyml_aws.artifacts.refs import ArtifactRef, digest_of_facts
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.transfer import load_list, load_values, save_values
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    FlowymlError,
    TooFewItemsError,
)
from flowyml_aws.core.maps import index_of, item_name, required_items
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.data_folders import unchanged_folder
from flowyml_aws.runtime.parts import check_list, positions_to_read
from flowyml_aws.runtime.result import JobResult, cases_of
from flowyml_aws.runtime.spec import AssetSource, FolderInPlace, GatheredAsset

__all__ = ["JobInputs"]

_NO_CONTENT = "skipped"  # the identity of an asset that does not exist
_OUTSIDE = AssetSource()


@dataclass
class JobInputs:
    """The assets that the steps of an attempt can read from the store.

    An asset of a mapped step is read as a list: it consists of the assets of its items.

    Attributes:
        attempt: Attempt that runs the steps.
        scratch: Folder for values that are files.
        unread: Error of a handle that could not read its value; None if there was none. The job
            fails with it, as if the value had been loaded before the step.
    """

    attempt: Attempt
    scratch: Path
    unread: FlowymlError | None = None
    _results: dict[str, JobResult | None] = field(default_factory=dict)
    _contents: dict[str, bytes] = field(default_factory=dict)
    _indexes: dict[str, ListIndex] = field(default_factory=dict)

    def is_stored(self, asset: str) -> bool:
        """Return whether `load` can load an asset."""
        spec = self.attempt.spec
        own = asset in self.attempt.assets or asset in self.attempt.outputs
        return own or asset in spec.assets or asset in spec.gathered

    def cause_of_absence(self, asset: str) -> str | None:
        """Return why an asset does not exist; None if it exists.

        A list does not exist if none of its items does.
        """
        if (gathered := self._gathered.get(asset)) is not None:
            causes = [self.cause_of_absence(item) for item in gathered.items]
            if gathered.in_parts and None in causes:
                items = self._items_of(gathered)
                causes = [None if item.ref is not None else _cause(item) for item in items]
            return causes[0] if causes and None not in causes else None
        if (cause := self.cause_of_drop(asset)) is not None:
            return cause
        source = self.attempt.spec.assets.get(asset)
        if source is None:
            return self.attempt.skipped.get(asset)
        if source.job is None:
            return source.absent
        return self._result_of(source.job).skipped.get(asset)

    def case_of(self, decision: str) -> str | None:
        """Return the case that a decision of this or another job, or earlier run, has chosen."""
        source = self.attempt.spec.assets.get(decision)
        if source is None:
            return cases_of(self.attempt.progress.reports).get(decision)
        if source.job is None:
            return source.case
        return cases_of(self._result_of(source.job).steps).get(decision)

    def cause_of_drop(self, asset: str) -> str | None:
        """Return why an asset does not exist, if an item of a map failed; otherwise None."""
        source = self.attempt.spec.assets.get(asset)
        if source is None:
            return self.attempt.dropped.get(asset)
        return (
            source.dropped if source.job is None else self._result_of(source.job).dropped.get(asset)
        )

    def dropped_item(self, assets: Iterable[str]) -> str | None:
        """Return why an item can't be computed, if it needs an asset of an item that failed."""
        for asset in assets:
            if asset not in self._items and (cause := self.cause_of_drop(asset)) is not None:
                return cause
        return None

    def is_partial(self, assets: Iterable[str]) -> bool:
        """Return whether an asset is a list without dropped items, or was made from one."""
        return any(self._is_partial(asset) for asset in assets)

    def check_lists(self, reader: str, assets: Iterable[str]) -> None:
        """Check that enough items of the lists among some assets have succeeded.

        Args:
            reader: Description of the reader, for the error.
            assets: Assets that it reads.

        Raises:
            TooFewItemsError: Too many items failed.
        """
        for asset in assets:
            gathered = self._gathered.get(asset)
            if gathered is None:
                continue
            if gathered.in_parts:
                if gathered.min_success is None:
                    continue
                items = self._items_of(gathered)
                count, required = len(items), required_items(len(items), gathered.min_success)
                drops = [item.dropped for item in items]
            else:
                if not gathered.required:
                    continue
                count, required = len(gathered.items), gathered.required
                drops = [self.cause_of_drop(item) for item in gathered.items]
            causes = [cause for cause in drops if cause]
            if count - len(causes) < required:
                raise TooFewItemsError(
                    what=f"{reader} can't read {asset!r}: {len(causes)} of {count} items failed",
                    why=f"at least {required} must succeed; {causes[0]}",
                    fix="correct the cause and run the pipeline again, which runs the failed items "
                    "only; or change min_success",
                )

    def identity(self, asset: str) -> str:
        """Return the identity of an asset by its content."""
        if self.cause_of_absence(asset):
            return _NO_CONTENT
        return self.attempt.outputs.identity(asset) or self.ref(asset).identity

    def ref(self, asset: str) -> ArtifactRef:
        """Return the ref of a stored asset that is not a list of items.

        Raises:
            ArtifactNotFoundError: The result of the job that produces it does not contain it.
        """
        if asset in self.attempt.outputs:
            self.attempt.outputs.flush()
        if asset in self.attempt.assets:
            return self.attempt.assets[asset]
        source = self.attempt.spec.assets[asset]
        ref = source.ref if source.job is None else self._result_of(source.job).assets.get(asset)
        if ref is None:
            raise ArtifactNotFoundError(
                what=f"Asset {asset!r} was not stored",
                why=f"the result of job {source.job!r} does not contain it",
                fix="run the pipeline again",
            )
        return ref

    def load(self, assets: Sequence[str]) -> dict[str, Any]:
        """Load the values of some assets; a list has the items that exist.

        Raises:
            ArtifactNotFoundError: An object does not exist.
            DamagedArtifactError: An object is damaged.
            ChangedFileError: A folder that is read in place, or an object below a prefix, has
                changed.
        """
        in_place = {asset: folder for asset in assets if (folder := self._in_place(asset))}
        members = {asset: self._members(asset) for asset in assets if asset not in in_place}
        refs = {name: self.ref(name) for names in members.values() for name in names}
        with self._advising(refs):
            values = load_values(self.attempt.store, refs, self.scratch, contents=self._contents)
        loaded: dict[str, Any] = {
            asset: unchanged_folder(asset, folder) for asset, folder in in_place.items()
        }
        for asset, names in members.items():
            gathered = self._gathered.get(asset)
            if gathered is None:
                value = values.pop(asset)
                is_listing = type(value) is PrefixListing
                loaded[asset] = self._folder_of(asset, value) if is_listing else value
            elif gathered.in_parts:
                loaded[asset] = [value for name in names for value in values.pop(name)]
            else:
                loaded[asset] = [values.pop(name) for name in names]
        return loaded

    def handle(self, asset: str) -> Lazy[Any]:
        """Return a handle of an asset that exists. Nothing of its value is read before it is used.

        Raises:
            ArtifactNotFoundError: The result of the job that produces it does not contain it.
        """
        members = () if self._in_place(asset) else self._members(asset)
        refs = {name: self.ref(name) for name in members}
        source = Source(
            load=lambda: self.load([asset])[asset],
            pieces=lambda: self._pieces(asset, refs),
            facts=lambda: _facts(refs),
            reading=lambda: self._reading(refs),
        )
        return Lazy(source, asset)

    def list_of(self, asset: str) -> ListIndex | None:
        """Return the index of a list that parts of the job map over; None if it does not exist.

        Items of a list that was stored as one value are stored now.

        Raises:
            ListMismatchError: The value is not a list.
            ArtifactNotFoundError: An object does not exist.
            DamagedArtifactError: An object is damaged.
        """
        if self.cause_of_absence(asset) is not None:
            return None
        value = self._index_of(asset)
        if type(value) is ListIndex:
            return value
        check_list(asset, value)
        positions = positions_to_read(self.attempt.spec, asset, len(value))
        refs = save_values(
            self.attempt.store,
            {item_name(asset, position): value[position] for position in positions},
        )
        items = zip(positions, refs.values(), strict=True)
        return ListIndex(
            length=len(value),
            items=tuple(ListItem(position=position, ref=ref) for position, ref in items),
        )

    def _pieces(self, asset: str, refs: Mapping[str, ArtifactRef]) -> Pieces | None:
        """Return the pieces of an asset, whose stored assets have these refs."""
        gathered = self._gathered.get(asset)
        if gathered is not None and not gathered.in_parts:
            return self._list_of_refs(asset, list(refs.values()))
        if gathered is not None or any(ref.codec == LIST_INDEX for ref in refs.values()):
            items = [item for name in refs for item in self._index_of(name).items]
            return self._list_of_refs(asset, [item.ref for item in items if item.ref is not None])
        for ref in refs.values():
            reads = JointReads(self.attempt.store, [ref], self._contents)
            return stored_pieces(reads, ref, asset)
        return None  # a folder that is read in place

    def _list_of_refs(self, asset: str, refs: Sequence[ArtifactRef]) -> StoredList:
        def load(positions: Sequence[int]) -> list[Any]:
            named = {item_name(asset, position): refs[position] for position in positions}
            store, contents = self.attempt.store, self._contents
            return list(load_values(store, named, self.scratch, contents=contents).values())

        return StoredList(len(refs), load)

    @contextmanager
    def _reading(self, refs: Mapping[str, ArtifactRef]) -> Iterator[None]:
        """Keep the error of a block of the user's code that reads stored assets."""
        try:
            with self._advising(refs):
                yield
        except LazyAccessError:
            raise
        except FlowymlError as error:
            self.unread = error
            raise

    @contextmanager
    def _advising(self, refs: Mapping[str, ArtifactRef]) -> Iterator[None]:
        """Note the damage that a block finds, and report how to repair it.

        Raises:
            ArtifactNotFoundError: The block raised it.
            DamagedArtifactError: The block raised it.
        """
        try:
            yield
        except (ArtifactNotFoundError, DamagedArtifactError) as error:
            self._note_damage(refs)
            fix = self._advice_on_damage(refs)
            raise type(error)(what=error.what, why=error.why, fix=fix) from error

    def _index_of(self, asset: str) -> Any:
        if asset in self._indexes:
            return self._indexes[asset]
        ref = self.ref(asset)
        with self._advising({asset: ref}):
            value = load_list(self.attempt.store, ref, asset, self.scratch, self._contents)
        if type(value) is ListIndex:
            self._indexes[asset] = value
        return value

    def _items_of(self, gathered: GatheredAsset) -> list[ListItem]:
        """Return the items of the parts of a list that exist."""
        parts = [part for part in gathered.items if self.cause_of_absence(part) is None]
        return [item for part in parts for item in self._index_of(part).items]

    @property
    def _gathered(self) -> dict[str, GatheredAsset]:
        return self.attempt.spec.gathered

    @cached_property
    def _items(self) -> frozenset[str]:
        """Assets of items that the job reads as parts of lists."""
        return frozenset(item for each in self._gathered.values() for item in each.items)

    def _is_partial(self, asset: str) -> bool:
        if asset in self._items and self.cause_of_drop(asset) is not None:
            return True
        source = self.attempt.spec.assets.get(asset)
        if source is None:
            return asset in self.attempt.partial
        if source.job is None:
            return source.is_partial
        return asset in self._result_of(source.job).partial

    def _members(self, asset: str) -> Sequence[str]:
        """Return the stored assets of an asset: those of the items that exist, if it is a list."""
        gathered = self._gathered.get(asset)
        if gathered is None:
            return (asset,)
        return [item for item in gathered.items if self.cause_of_absence(item) is None]

    def _folder_of(self, asset: str, listing: PrefixListing) -> Path:
        """Return the folder with the objects of a prefix of S3."""
        attempt = self.attempt
        prefixes = attempt.open_prefixes(attempt.spec.store_wait_s)
        mount = attempt.spec.assets[asset].mount
        if mount is None or attempt.platform.mounts is None:
            return prefixes.download(listing, asset, self.scratch)
        prefixes.check(listing)
        return attempt.platform.mounts / mount

    def _in_place(self, asset: str) -> FolderInPlace | None:
        source = self.attempt.spec.assets.get(asset)
        return None if source is None else source.in_place

    def _note_damage(self, refs: Mapping[str, ArtifactRef]) -> None:
        """Record which values are missing or damaged, and which repetitions produced them."""
        attempt = self.attempt
        for group in group_by_object(refs):
            reads = JointReads(attempt.store, group.values(), {})
            for name, ref in group.items():
                if len(refs) == 1 or not _is_whole(reads, attempt.store, ref):
                    asset = self._list_with(name)
                    own = AssetSource(job=attempt.spec.job)
                    producer = attempt.spec.assets.get(asset, own).job
                    attempt.damaged[asset] = attempt.repetition_of(producer) if producer else 0

    def _list_with(self, asset: str) -> str:
        """Return the list of another job from which a part takes an item; other assets remain."""
        index, sources = index_of(asset), self.attempt.spec.assets
        for part in (step.part for step in self.attempt.spec.steps):
            if index is None or part is None or index not in (part.positions or ()):
                continue
            for stored, name in part.lists.items():
                if stored in sources and asset == item_name(name, index):
                    return stored
        return asset

    def _advice_on_damage(self, assets: Collection[str]) -> str:
        """Return how to produce a damaged or missing value again, which is one of some assets."""
        sources = self.attempt.spec.assets
        known = [sources.get(asset, _OUTSIDE).ref for asset in assets]
        if all(ref is not None and ref.codec == FOLDER_INDEX for ref in known):
            return "run the pipeline again, which uploads the missing files of the folder"
        if None not in known:
            return (
                "it is from an earlier run: run the pipeline with --refresh and the name of the "
                "step that produces it"
            )
        return f"run `flowyml-aws resume {self.attempt.spec.run_id}`, which produces it again"

    def _result_of(self, job: str) -> JobResult:
        if not self._results:
            self._read_results()
        result = self._results[job]
        if result is None:
            raise ArtifactNotFoundError(
                what=f"Job {job!r} has no result",
                why="this job reads its assets, but started before it ended",
                fix="check that job's status, then run the pipeline again",
            )
        return result

    def _read_results(self) -> None:
        """Read the results of all jobs whose assets the job reads: the list of a map has many."""
        sources = self.attempt.spec.assets.values()
        jobs = sorted({source.job for source in sources if source.job is not None})
        results = map_concurrently(self.attempt.result_of, jobs, limit=STORE_REQUESTS)
        self._results.update(zip(jobs, results, strict=True))
        for result in results:
            self._contents.update({} if result is None else result.contents)


def _is_whole(reads: JointReads, store: ArtifactStore, ref: ArtifactRef) -> bool:
    """Return whether a value is intact, with the items of a list and the files of a folder.

    Args:
        reads: Reader of the value's object.
        store: Store of its items or files.
        ref: Ref of the value.
    """
    if not is_intact(reads, ref):
        return False
    try:
        members = islice(with_members(store, ref), 1, None)
        return all(is_intact(store, member) for member in members)
    except (ArtifactNotFoundError, DamagedArtifactError):
        return False


def _facts(refs: Mapping[str, ArtifactRef]) -> Facts:
    """Return the facts of the value of some stored assets: of one, or of the items of a list."""
    size = sum(ref.value_bytes for ref in refs.values())
    digests = [ref.sha256 for ref in refs.values()]
    return Facts(size, digests[0] if len(digests) == 1 else digest_of_facts(digests))


def _cause(item: ListItem) -> str:
    return item.dropped or item.absent or "it was not computed"
