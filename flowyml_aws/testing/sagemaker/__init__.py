"""SageMaker's training jobs, emulated: they run, stop, are interrupted, wait and are refused."""
