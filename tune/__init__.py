"""Many runs of one recipe: searches over its settings, and sweeps over shares of its labels. Knows cluster."""
