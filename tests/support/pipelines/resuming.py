"""Steps before, in and after a group whose last step fails until a file exists."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws import Pipeline, step


def note(trace: str, name: str) -> None:
    with Path(trace).open("a") as file:
        file.write(f"{name}\n")


@step(outputs=["raw"], cache=False)
def load(trace: str) -> list[int]:
    note(trace, "load")
    return [3, 1, 2]


@step(inputs=["raw"], outputs=["extra"], condition=lambda raw: len(raw) > 100, cache=False)
def perhaps(raw: list[int]) -> int:
    return len(raw)


@step(inputs=["raw"], outputs=["clean"], execution_group="train", cache="input_hash")
def clean(raw: list[int], trace: str) -> list[int]:
    note(trace, "clean")
    return sorted(raw)


@step(inputs=["clean"], outputs=["weights"], execution_group="train", cache=False)
def weigh(clean: list[int], trace: str) -> int:
    note(trace, "weigh")
    return sum(clean)


@step(inputs=["weights"], outputs=["model"], execution_group="train", cache=False)
def train(weights: int, trace: str) -> int:
    note(trace, "train")
    if not Path(f"{trace}.go").exists():
        raise RuntimeError("not yet")
    return weights + 1


@step(inputs=["model", "raw"], outputs=["score"], cache=False)
def score(model: int, raw: list[int], trace: str) -> int:
    note(trace, "score")
    return model * len(raw)


@step(inputs=["extra"], outputs=["unneeded"], cache=False)
def skip(extra: int) -> int:
    return extra


pipeline = Pipeline("resuming", context={"trace": ""})
pipeline.add_steps([load, perhaps, clean, weigh, train, score, skip])
