"""Values of assets as bytes in a store, and where everything of a run lies there."""
