"""Caching: fingerprints of code, identities of steps, cache entries and their lookup."""
