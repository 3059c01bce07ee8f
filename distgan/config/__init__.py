"""The settings of a run: sections of a recipe, checked, as one frozen RunConfig."""
