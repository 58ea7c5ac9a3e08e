"""Where a model samples from, on eight fake devices; prints JSON."""

import json
import tempfile

import jax
from etils import epath

from tests import pipeline_run
from tests.sample import hashing
from tests.sample.exchanges import largest_message
from tooldev_jax.evolve import prompts
from tooldev_jax.model import Adapter, Model
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition
from tooldev_jax.sample import partition as placement
from tooldev_jax.sample.params import SamplingParams
from tooldev_jax.toolcall.vocabulary import Example, Message


def run_config(**mesh):
  return pipeline_run.small_config(**{f"mesh.{k}": v for k, v in mesh.items()})


def by_memory(**mesh):
  """The tensor axis, and whether a copy is made, while memory shrinks."""
  config = run_config(**mesh)
  trained = Partition(make_mesh(config.mesh), TRAIN_RULES)
  model = hashing.config(num_key_value_heads=4, vocab_size=64)
  found, memory = [], None
  for _ in range(4):
    chosen = placement.sampling_partition(
      config, model, trained, jax.devices(), memory
    )
    copied = not placement.shares_weights(trained, chosen)
    found.append([chosen.mesh.shape["tensor"], copied])
    if chosen.rules == TRAIN_RULES:
      break
    needed = placement.SamplingPlan(config, model, trained, chosen).bytes
    memory = 0.999 * needed / placement.SHARE
  return found


def answers(**mesh):
  """Greedy answers of a freshly adapted base, and what its chips told."""
  with tempfile.TemporaryDirectory() as folder:
    said = []
    model = Model(run_config(**mesh), said.append)
    adapter = Adapter("fresh", model.new_adapter(), "fresh")
    example = Example("a", (Message("user", "What is the weather in Oslo?"),))
    outputs = model.generate(
      adapter,
      [prompts.for_tools(example, 0)] * 4,
      SamplingParams(temperature=0.0, max_new_tokens=8),
      epath.Path(folder) / "answers.jsonl",
    )
    tokens = [output.samples[0].token_ids for output in outputs]
    (sampler,) = model._samplers.values()
    told = max(
      largest_message(compiled.decode.as_text())
      for compiled in sampler.programs._compiled.values()
    )
    return {
      "tokens": tokens,
      "told": told,
      "hidden": model.shape.hidden_size,
      "said": said,
    }


if __name__ == "__main__":
  print(
    json.dumps(
      {
        "split": by_memory(fsdp=8),
        "split in two": by_memory(fsdp=4, tensor=2),
        "whole": by_memory(data=8, fsdp=1),
        "answers split": answers(fsdp=8),
        "answers whole": answers(data=8, fsdp=1),
      }
    )
  )
