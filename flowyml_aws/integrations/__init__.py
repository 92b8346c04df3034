"""Other frameworks' pipelines, run by this package."""
