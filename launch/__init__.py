"""Entry points: `python -m launch.run` and its companions."""
