"""From a plan to running jobs, and from the store to how they are."""
