"""Where the base lies while it is sampled from, on eight fake devices."""

import json
import os
import subprocess
import sys

import pytest

ON_EIGHT_DEVICES = """
import json, math, tempfile
import jax
from etils import epath
from tests import pipeline_run
from tests.sample import hashing
from tooldev_jax import placement
from tooldev_jax.evolve import ask
from tooldev_jax.parallel.mesh import MeshConfig, make_mesh
from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition
from tooldev_jax.placement import sampling_partition, shares_weights
from tooldev_jax.sample.params import SamplingParams
from tooldev_jax.student import Adapter, Student
from tooldev_jax.tools.vocabulary import Example, Message
from tooldev_jax.train.compiled import Program

def run_config(**mesh):
  return pipeline_run.small_config(**{f"mesh.{k}": v for k, v in mesh.items()})


def by_memory(**mesh):
  "The tensor axis, and whether a copy is made, while memory shrinks."
  config = run_config(**mesh)
  trained = Partition(make_mesh(config.mesh), TRAIN_RULES)
  model = hashing.config(num_key_value_heads=4, vocab_size=64)
  found, memory = [], None
  for _ in range(4):
    chosen = sampling_partition(config, model, trained, jax.devices(), memory)
    copied = not shares_weights(trained, chosen)
    found.append([chosen.mesh.shape["tensor"], copied])
    if chosen.rules == TRAIN_RULES:
      break
    memory = 0.999 * placement._needed(config, model, trained, chosen)
    memory /= placement.SHARE
  return found


def most_told(student):
  "The numbers in the largest message of a chunk of decoding."
  (sampler,) = student._samplers.values()
  return max(
    math.prod(sizes)
    for compiled in sampler.programs._compiled.values()
    for x in Program(compiled.decode.as_text()).instructions()
    if x.collective
    for _, sizes in x.shapes
  )


def answers(**mesh):
  "Greedy answers of a freshly adapted base, and what its chips told."
  with tempfile.TemporaryDirectory() as folder:
    said = []
    student = Student(run_config(**mesh), epath.Path(folder), said.append)
    adapter = Adapter("fresh", student.fresh_adapter(), "fresh")
    example = Example("a", (Message("user", "What is the weather in Oslo?"),))
    outputs = student.sample(
      adapter,
      [ask.for_tools(example, 0)] * 4,
      SamplingParams(temperature=0.0, max_new_tokens=8),
      epath.Path(folder) / "answers.jsonl",
    )
    tokens = [output.samples[0].token_ids for output in outputs]
    return {
      "tokens": tokens,
      "told": most_told(student),
      "hidden": student.shape.hidden_size,
      "said": said,
    }


print(json.dumps({
  "split": by_memory(fsdp=8),
  "split in two": by_memory(fsdp=4, tensor=2),
  "whole": by_memory(data=8, fsdp=1),
  "answers split": answers(fsdp=8),
  "answers whole": answers(data=8, fsdp=1),
}))
"""


@pytest.fixture(scope="module")
def found():
  result = subprocess.run(
    [sys.executable, "-c", ON_EIGHT_DEVICES],
    env=os.environ
    | {
      "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
      "JAX_PLATFORMS": "cpu",
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 0, result.stderr[-3000:]
  return json.loads(result.stdout.splitlines()[-1])


def test_layers_are_split_over_as_few_chips_as_let_two_copies_fit(found):
  # Four heads of keys go no further than four ways. Where nothing fits, the
  # weights stay where they are.
  assert found["split"] == [[1, True], [2, True], [4, True], [1, False]]
  assert found["split in two"] == [[2, True], [4, True], [2, False]]


def test_weights_that_lie_whole_are_not_copied_unless_they_must_be_split(found):
  assert found["whole"][:2] == [[1, False], [2, True]]


def test_decoding_moves_no_weights_where_training_splits_them(found):
  split, whole = found["answers split"], found["answers whole"]
  assert split["tokens"] == whole["tokens"]
  # What the host reads; the smallest kernel is as wide as it is high.
  assert split["told"] < split["hidden"] ** 2
  assert not any("do not fit" in line for line in split["said"])
