"""Teach small open language models to use and make tools, in JAX."""
