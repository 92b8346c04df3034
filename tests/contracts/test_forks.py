from __future__ import annotations

from tests.support.rigs import BackendRig


def test_only_the_parent_of_a_forked_process_gives_a_value(rig: BackendRig) -> None:
    result = rig.pipeline("forks").run(backend=rig.backend, progress=False)
    assert result.success, result.summary()
    assert [result[name] for name in ("exited", "returned")] == ["parent", "parent"]
