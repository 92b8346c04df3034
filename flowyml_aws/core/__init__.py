"""Pipeline definition: steps, graph, groups, resources and fingerprints. Pure, without I/O."""
