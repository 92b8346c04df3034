"""The user's process: from a pipeline to a run, and from a run to its result."""
