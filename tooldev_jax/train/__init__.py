"""The training step, its loop, checkpoints and metrics."""
