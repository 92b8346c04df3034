"""Steps that log values."""

from __future__ import annotations

from threading import Thread

from flowyml_aws import Pipeline, log_image, log_metric, log_table, log_text, step

_PNG = b"\x89PNG\r\n\x1a\n"


@step(outputs=["rows"])
def load(size: int) -> list[int]:
    log_metric("rows", size)
    return list(range(size))


@step(inputs=["rows"], outputs=["model"], execution_group="training", retry=1, retry_delay=0.01)
def train(rows: list[int], rate: float) -> float:
    for epoch in range(5):
        log_metric("loss", rate / (epoch + 1), step=epoch)
    thread = Thread(target=log_metric, args=("val/loss", 2 * rate))
    thread.start()
    thread.join()
    log_image("curve", _PNG)
    return rate * len(rows)


@step(inputs=["model"], outputs=["score"], execution_group="training")
def evaluate(model: float) -> float:
    log_metric("score", model)
    log_table("errors", [{"row": 1, "error": model}])
    log_text("summary", "fine")
    return model


@step(inputs=["score"], outputs=["end"], cache=False)
def fail(score: float, broken: bool) -> float:
    log_metric("before", 1)
    if broken:
        raise ValueError("broken")
    return score


pipeline = Pipeline("metrics", context={"size": 3, "rate": 0.5, "broken": False}).add_steps(
    [load, train, evaluate, fail]
)
