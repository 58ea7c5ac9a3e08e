"""One file an experiment; its docstring is the recipe."""
