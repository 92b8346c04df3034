"""Ask a person before a model is deployed.

    python examples/approval.py

The script asks in its terminal. Any other process can answer as well, days later:

    flowyml-aws approve RUN --comment "looks good"
"""

from flowyml_aws import Pipeline, approval, step

HOURS = [(1.0, 0), (2.0, 0), (3.0, 0), (3.5, 1), (4.0, 0), (4.5, 1), (5.0, 1), (6.0, 1)]


@step(outputs=["cut", "accuracy"])
def train():
    """Return the number of hours from which a student is predicted to pass, and its accuracy."""
    cut = max((hours for hours, _ in HOURS), key=accuracy_of)
    return cut, accuracy_of(cut)


@step(inputs=["release"])
def deploy(release):
    return f"pass from {release} hours"


def accuracy_of(cut):
    return sum((hours >= cut) == bool(passed) for hours, passed in HOURS) / len(HOURS)


def is_excellent(accuracy):
    return accuracy > 0.95


# The asset of the approval is its first input: the model that a person has seen.
release = approval("release", inputs=["cut", "accuracy"], auto_approve_if=is_excellent)
pipeline = Pipeline("approval").add_steps([train, release, deploy])

if __name__ == "__main__":
    run = pipeline.submit()
    result = run.wait_for_approval()
    if run.status().waits_for_approval:
        print(f"accuracy {result['accuracy']:.3f}")
        if input("deploy it? [y/N] ").strip().lower() == "y":
            run.approve(comment="asked in the terminal")
        else:
            run.reject(comment="asked in the terminal")
        result = run.wait()
    print(result["deploy"] if result.success else "not deployed")
