"""Scores, the official benchmark and the report."""
