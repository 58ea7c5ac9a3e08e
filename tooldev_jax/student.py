"""The model that is taught: a frozen base and whatever adapter it has by now.

It does three things: answers questions (`sample`), learns from examples
(`learn`), and says which adapter it starts from. All of them write their
results to a file of the run and return what is there if it is complete, so a
run that was killed goes on where it was.
"""

import dataclasses
import functools
import hashlib
import io
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import rich.console
from etils import epath
from jax.sharding import NamedSharding

from tooldev_jax.config import RunConfig, StageConfig
from tooldev_jax.data import show
from tooldev_jax.data.encoding import EncodedSet, EncodeError, Encoder
from tooldev_jax.data.loader import TrainData
from tooldev_jax.data.tokenizer import ChatTokenizer
from tooldev_jax.data.views import View
from tooldev_jax.errors import UserError
from tooldev_jax.evaluate.outputs import OutputRecord
from tooldev_jax.evolve import ask
from tooldev_jax.evolve.round import Answers
from tooldev_jax.models import checkpoint
from tooldev_jax.models.parameters import abstract, declare, init_adapter
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition
from tooldev_jax.placement import sampling_partition
from tooldev_jax.progress import SamplingProgress, Say
from tooldev_jax.sample.files import sample_to_file
from tooldev_jax.sample.params import RequestOutput, SamplingParams
from tooldev_jax.sample.sampler import Sampler
from tooldev_jax.stage_data import plan
from tooldev_jax.toolcall.vocabulary import Example
from tooldev_jax.train.loop import FitResult, fit
from tooldev_jax.train.result import read_trained
from tooldev_jax.train.step import batch_shards, check_mesh


@dataclasses.dataclass(frozen=True)
class Adapter:
  """An adapter and its name for files and tables.

  Attributes:
    name: of the stage or round that made it; "base" has no tree.
    tree: LoRA factors; None is the base itself.
    fingerprint: digest of the bytes; "" for the base.
  """

  name: str
  tree: Any
  fingerprint: str


BASE = Adapter("base", None, "")

# Few calls are longer (mean about 25 tokens, 99 % under 60 on ToolACE, xLAM
# and Hammer samples); those that are go on in a longer cache.
EXPECTED_CALL_TOKENS = 64


class Student:
  """A base loaded on the mesh, with its tokenizer, encoder and sampler.

  Args:
    config: of the run.
    workdir: the run's folder.
    say: prints a line of progress.

  Raises:
    UserError: the checkpoint, its tokenizer or the mesh will not do.
  """

  def __init__(self, config: RunConfig, workdir: epath.Path, say: Say):
    self.config = config
    self.workdir = workdir
    self.say = say
    self.tokenizer = ChatTokenizer.load(config.base.path)
    self.encoder = Encoder(
      self.tokenizer, config.view.call_format, config.encode
    )
    self.mesh = make_mesh(config.mesh)
    folder = checkpoint.resolve_folder(config.base.path)
    self.shape = checkpoint.read_config(folder)
    if self.tokenizer.vocab_size > self.shape.vocab_size:
      raise UserError(
        f"{config.base.path}: the tokenizer has {self.tokenizer.vocab_size}"
        f" entries, the model {self.shape.vocab_size}"
      )
    self._compute = jnp.dtype(config.train.compute_dtype)
    self._samplers: dict[bool, Sampler] = {}

  @functools.cached_property
  def base(self) -> checkpoint.Loaded:
    """The weights, loaded when something first needs them.

    A mistake in the settings of the first training is then told before.
    """
    config = self.config.base
    return checkpoint.load_model(
      config.path, self.mesh, TRAIN_RULES, jnp.dtype(config.dtype)
    )

  def fresh_adapter(self) -> Any:
    """A new adapter, which changes nothing yet; the same in every call."""
    partition = Partition(self.mesh, TRAIN_RULES)
    key = jax.random.key(self.config.seed)
    return init_adapter(self.shape, self.config.lora, key, partition)

  def learn(
    self, name: str, start: Any, streams: EncodedSet, stage: StageConfig
  ) -> tuple[FitResult, TrainData]:
    """Trains the adapter `start` on `streams`; resumes, or returns what is
    there.

    Args:
      name: of the training; its folder in the run.
      start: adapter tree.
      streams: what to learn.
      stage: how long and how fast.
    """
    partition = Partition(self.mesh, TRAIN_RULES)
    data = plan(
      streams,
      stage,
      self.config,
      self.tokenizer.pad_id,
      row_multiple=batch_shards(partition),
    )
    check_mesh(data.rows_wanted, partition)
    self._show(data)
    # The copy for sampling makes room, and is made again when it is needed.
    self.__dict__.pop("_sampling_base", None)
    train = self.config.training(stage)
    result = fit(
      base=self.base,
      lora=self.config.lora,
      initial=start,
      data=data,
      config=train,
      mesh=self.mesh,
      workdir=self.workdir,
      name=name,
    )
    return result, data

  def _show(self, data: TrainData) -> None:
    """Tells one example as it is trained: a wrong mask is seen at once."""
    text = io.StringIO()
    colours = sys.stdout.isatty()
    show.show(
      rich.console.Console(file=text, force_terminal=colours),
      data,
      self.tokenizer,
      count=1,
    )
    self.say(text.getvalue().rstrip())

  def trained(self, name: str) -> tuple[Any, str]:
    """The adapter that `learn` made under this name, and its fingerprint."""
    partition = Partition(self.mesh, TRAIN_RULES)
    declared = declare(self.shape, self.config.lora)["lora"]
    like = abstract(declared, partition, jnp.float32)
    return read_trained(self.workdir / name, like)

  def sample(
    self,
    adapter: Adapter,
    asked: Sequence[View],
    sampling: SamplingParams,
    file: epath.Path,
  ) -> list[RequestOutput | None]:
    """Answers questions into `file`; resumes, or reads what is there.

    Of several processes each answers its part, with a copy of the weights on
    its own devices: a process need not wait for the others' longest answers.

    Returns:
      One output a question, in order; None where the prompt is longer than
      the sampler's cache or the chat template refuses it.
    """
    prompts = self._prompts(asked)
    outputs = sample_to_file(
      file,
      self._sampler(adapter),
      self._sampling_base,
      list(prompts.values()),
      sampling,
      adapter=self._sampling_copy(adapter.tree, "lora"),
      indices=list(prompts),
      source=f"{self.base.fingerprint} {adapter.fingerprint}",
      on_output=SamplingProgress(f"{file.parent.name}/{file.stem}", self.say),
    )
    by_index = {output.index: output for output in outputs}
    return [by_index.get(index) for index in range(len(asked))]

  def _prompts(self, asked: Sequence[View]) -> dict[int, list[int]]:
    """Token ids by index, of the questions that can be asked."""
    prompts = {}
    longest = max(self.config.sampler.prompt_buckets)
    for index, view in enumerate(asked):
      try:
        ids = self.encoder.prompt_ids(view)
      except EncodeError:
        continue
      if len(ids) <= longest:
        prompts[index] = ids
    return prompts

  def _sampler(self, adapter: Adapter) -> Sampler:
    """One for the base, one for adapters: their programs differ."""
    adapted = adapter.tree is not None
    if adapted not in self._samplers:
      decoder = Decoder(
        self.shape,
        lora=self.config.lora if adapted else None,
        dtype=self._compute,
      )
      self._samplers[adapted] = Sampler(
        decoder, self.tokenizer, self._sampling.mesh, self.config.sampler
      )
    return self._samplers[adapted]

  @functools.cached_property
  def _sampling(self) -> Partition:
    """Where weights lie for sampling, on this process's own devices."""
    devices = self.mesh.local_devices
    partition = sampling_partition(
      self.config,
      self.shape,
      Partition(self.mesh, TRAIN_RULES),
      devices,
      (devices[0].memory_stats() or {}).get("bytes_limit"),
    )
    if partition.ways("embed") > 1:
      self.say(
        "sampling: weights and caches do not fit beside the weights in"
        " training, so each layer is gathered for each token; more chips or"
        " smaller sampler.rows and prompt_buckets help (launch.fit"
        " --what=sample tells)"
      )
    return partition

  @functools.cached_property
  def _sampling_base(self) -> Any:
    return self._sampling_copy(self.base.params, "params")

  def _sampling_copy(self, tree: Any, collection: str) -> Any:
    """A tree where it lies for sampling; all processes must call it.

    Args:
      tree: where it lies for training; None stays None.
      collection: what it is, "params" or "lora".

    Returns:
      The tree itself if that is the same place.
    """
    if tree is None:
      return None
    declared = declare(self.shape, self.config.lora)[collection]

    def put(x: jax.Array, place: NamedSharding) -> jax.Array:
      here = x.is_fully_addressable
      return jax.device_put(x if here else checkpoint.on_host(x), place)

    return jax.tree.map(put, tree, self._sampling.shardings(declared))


class Answering:
  """A student with one adapter, as evaluation sees it: a text generator.

  Args:
    student: the model.
    adapter: what it has learned.
    folder: gets one file of answers for each set of questions.
    label: of the set of questions, part of the file's name.
  """

  def __init__(
    self, student: Student, adapter: Adapter, folder: epath.Path, label: str
  ):
    self._student = student
    self._adapter = adapter
    self._folder = folder
    self._label = label

  def generate(
    self, examples: Sequence[Example], kind: str
  ) -> list[OutputRecord]:
    """Greedy answers to the view `kind` of the examples, in their order."""
    config = self._student.config
    if kind == "generation":
      asked = [ask.for_tools(example, config.seed) for example in examples]
      longest = config.evaluate.max_tool_tokens
    else:
      asked = [ask.for_calls(example, example.tools) for example in examples]
      longest = config.evaluate.max_call_tokens
    outputs = self._student.sample(
      self._adapter,
      asked,
      SamplingParams(
        n=1,
        temperature=0.0,
        max_new_tokens=longest,
        expected_new_tokens=_expected(kind, longest),
      ),
      self._folder / f"{self._label}_{kind}.jsonl",
    )
    return [
      _record(example, output)
      for example, output in zip(examples, outputs, strict=True)
    ]


def _record(example: Example, output: RequestOutput | None) -> OutputRecord:
  if output is None:
    return OutputRecord(example.id, "", "skipped")
  sample = output.samples[0]
  return OutputRecord(example.id, sample.text, sample.finish_reason)


def _expected(kind: str, longest: int) -> int:
  """Tokens that few answers exceed: what the sampler's cache is sized by."""
  if kind == "invocation":
    return min(EXPECTED_CALL_TOKENS, longest)
  return longest


def asking(student: Student, adapter: Adapter, top_k: int, seed: int):
  """The `Ask` of a round: sampled answers of the current model."""

  def ask_(
    asked: Sequence[View],
    samples: int,
    temperature: float,
    longest: int,
    file: epath.Path,
  ) -> list[Answers]:
    sampling = SamplingParams(
      n=samples,
      temperature=temperature,
      top_k=top_k,
      max_new_tokens=longest,
      expected_new_tokens=_expected(asked[0].kind if asked else "", longest),
      seed=seed_of(seed, file.name),
    )
    outputs = student.sample(adapter, asked, sampling, file)
    return [
      Answers(
        texts=tuple(sample.text for sample in output.samples),
        finished=tuple(s.finish_reason == "stop" for s in output.samples),
      )
      if output
      else Answers((), (), fits=False)
      for output in outputs
    ]

  return ask_


def seed_of(seed: int, *names: object) -> int:
  """A 31-bit seed that depends on the run's seed and what it is for."""
  text = "\x1f".join(map(str, (seed, *names)))
  return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
