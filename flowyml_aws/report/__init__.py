"""Reports of runs: collected once, written as one HTML page, as JSON or as CSV."""
