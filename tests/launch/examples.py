"""A job to try platforms with."""

from typing import Any

from launch.platforms.job import Job
from tooldev_jax.parallel.chips import find_slice

# What a shell, Kubernetes or a template would make something of.
AWKWARD = '--config.data.examples.path=/it\'s $(HOME) $$ `id` {x} "a"\\ \n* é'


def job(accelerator: str = "v6e-16", **changes: Any) -> Job:
  values: dict[str, Any] = {
    "name": "demo",
    "workdir": "gs://my-bucket/runs/demo",
    "arguments": ("--config=configs/llama3_1_8b.py", AWKWARD),
    "accelerator": find_slice(accelerator),
    "slices": 1,
    "provisioning": "standard",
    "image": "us-docker.pkg.dev/project/images/tooldev:1",
    "labels": {"team": "nlp"},
  }
  return Job(**(values | changes))
