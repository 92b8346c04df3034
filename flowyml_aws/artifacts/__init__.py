"""Storage of values: codecs, transfers, and the layout of keys in a store."""
