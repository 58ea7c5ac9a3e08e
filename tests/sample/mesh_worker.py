"""Samples on a mesh of eight fake devices; prints a line of JSON."""

import dataclasses
import json

import jax

from tests.sample import test_sampler
from tests.sample.exchanges import check_that_logits_alone_move
from tooldev_jax.config import MeshConfig
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.sample.sampler import Sampler


def main() -> None:
  assert jax.device_count() == 8
  mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
  decoder = test_sampler.decoder_of("llama")
  config = dataclasses.replace(test_sampler.CONFIG, max_lanes=2)
  sampler = Sampler(decoder, None, mesh, config)
  prompts, settings = test_sampler.workload(n=3)
  params = test_sampler.weights_of(decoder)
  outputs = sampler.generate(params, prompts, settings)
  for compiled in sampler.programs._compiled.values():
    for program in (compiled.prefill, compiled.decode):
      check_that_logits_alone_move(program.as_text(), decoder.config.vocab_size)
  print(json.dumps({"outputs": [output.to_json() for output in outputs]}))


if __name__ == "__main__":
  main()
