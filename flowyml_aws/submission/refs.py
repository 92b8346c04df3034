"""The refs of a run's stored values, each read when it is used."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.submission.reports import JobReports
from flowyml_aws.submission.status import RunStatus

__all__ = ["RunRefs"]


class RunRefs(Mapping[str, ArtifactRef]):
    """Artifact refs by asset. The status has their names; a ref is in the result of its job.

    Args:
        status: Status of the run.
        reports: Reports of its jobs.
    """

    def __init__(self, status: RunStatus, reports: JobReports) -> None:
        self._reports = reports
        self._reused = {
            asset: ref for step in status.reused.values() for asset, ref in step.assets.items()
        }
        self._sizes: dict[str, int] = {}
        for view in status.jobs:
            self._sizes.update({} if view.result is None else view.result.asset_bytes)
        self._jobs = {
            asset: view.job.name
            for view in status.jobs
            if view.result is not None
            for asset in view.result.asset_bytes
        }

    def __getitem__(self, asset: str) -> ArtifactRef:
        if asset not in self._jobs:
            return self._reused[asset]
        result = self._reports.result(self._jobs[asset])
        if result is None:  # deleted since the status was read
            raise KeyError(asset)
        return result.assets[asset]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._reused, **self._jobs})

    def __len__(self) -> int:
        return len(self._reused.keys() | self._jobs.keys())

    def __contains__(self, asset: object) -> bool:
        return asset in self._jobs or asset in self._reused

    def size_bytes(self, asset: str) -> int:
        """Return the size of a stored value. Nothing is read."""
        if asset not in self._sizes:
            return self._reused[asset].size_bytes
        return self._sizes[asset]

    def read(self, assets: Collection[str] | None = None) -> dict[str, ArtifactRef]:
        """Return the refs of some assets, or of all. Their results are read at the same time."""
        names = list(self) if assets is None else assets
        self._reports.results(self._jobs_of(names))
        return {asset: self[asset] for asset in names}

    def contents(self, assets: Collection[str]) -> dict[str, bytes]:
        """Return the small values in the results of the jobs of some assets, by their digest."""
        results = self._reports.results(self._jobs_of(assets))
        return {sha256: data for each in results.values() for sha256, data in each.contents.items()}

    def _jobs_of(self, assets: Collection[str]) -> set[str]:
        return {self._jobs[asset] for asset in assets if asset in self._jobs}
