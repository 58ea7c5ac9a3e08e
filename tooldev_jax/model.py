"""The model that is taught: a frozen base and whatever adapter it has by now.

    train(sequences)   -> an adapter
    generate(prompts)  -> samples

Both write what they made to files and return what is there if it is complete,
so a run that was killed goes on where it was. The adapter is an argument of
each call; nothing here knows why something is trained or asked.
"""

import dataclasses
import functools
import sys
from collections.abc import Sequence
from io import StringIO
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
from tooldev_jax.data.stages import plan
from tooldev_jax.data.tokenizer import ChatTokenizer
from tooldev_jax.data.views import View
from tooldev_jax.errors import UserError
from tooldev_jax.models import checkpoint, model_folder
from tooldev_jax.models.parameters import abstract, declare, init_adapter
from tooldev_jax.models.transformer import Decoder
from tooldev_jax.parallel.mesh import make_mesh
from tooldev_jax.parallel.sharding import TRAIN_RULES, Partition
from tooldev_jax.sample.files import sample_to_file
from tooldev_jax.sample.params import RequestOutput, SamplingParams
from tooldev_jax.sample.partition import sampling_partition
from tooldev_jax.sample.progress import Progress, Say
from tooldev_jax.sample.sampler import Sampler
from tooldev_jax.train.batch import batch_shards, check_mesh
from tooldev_jax.train.loop import FitResult, fit
from tooldev_jax.train.result import read_trained


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


class Model:
  """A base on the mesh, with its tokenizer, encoder and sampler.

  The tokenizer and the config are read at once, the weights when they are
  first needed, so that mistakes in the settings are found before.

  Args:
    config: of the run.
    say: prints a line of progress.

  Attributes:
    tokenizer, encoder: how text becomes tokens for this base.
    shape: the base's `DecoderConfig`.
    mesh: all devices of the run.

  Raises:
    UserError: the checkpoint, its tokenizer or the mesh will not do.
  """

  def __init__(self, config: RunConfig, say: Say):
    self.say = say
    self._config = config
    self.tokenizer = ChatTokenizer.load(config.base.path)
    self.encoder = Encoder(
      self.tokenizer, config.view.call_format, config.encode
    )
    self.mesh = make_mesh(config.mesh)
    folder = model_folder.resolve_folder(config.base.path)
    self.shape = model_folder.read_config(folder)
    if self.tokenizer.vocab_size > self.shape.vocab_size:
      raise UserError(
        f"{config.base.path}: the tokenizer has {self.tokenizer.vocab_size}"
        f" entries, the model {self.shape.vocab_size}"
      )
    self._partition = Partition(self.mesh, TRAIN_RULES)
    self._samplers: dict[bool, Sampler] = {}
    self._sampling_params: Any = None

  @functools.cached_property
  def base(self) -> checkpoint.Loaded:
    """The frozen weights, sharded for training."""
    base = self._config.base
    self.say(f"base: loading {base.path}")
    dtype = jnp.dtype(base.dtype)
    return checkpoint.load_model(base.path, self.mesh, TRAIN_RULES, dtype)

  # --- training -------------------------------------------------------------

  def new_adapter(self) -> Any:
    """An adapter that changes nothing yet; the same tree in every call."""
    key = jax.random.key(self._config.seed)
    return init_adapter(self.shape, self._config.lora, key, self._partition)

  def plan(self, sequences: EncodedSet, stage: StageConfig) -> TrainData:
    """The batches that `train` would make.

    Raises:
      UserError: there are no sequences, one fits no row, or the mesh does not
        fit the batch.
    """
    data = plan(
      sequences,
      stage,
      self._config,
      self.tokenizer.pad_id,
      row_multiple=batch_shards(self._partition),
    )
    check_mesh(data.rows_wanted, self._partition)
    return data

  def train(
    self,
    workdir: epath.Path,
    name: str,
    start: Adapter,
    sequences: EncodedSet,
    stage: StageConfig,
  ) -> tuple[Adapter, FitResult, TrainData]:
    """Trains `start` on `sequences`; resumes, or returns what is there.

    Args:
      workdir: the run's folder.
      name: of the training; its folder in `workdir`.
      start: where to begin; the base begins with a new adapter.
      sequences: of one epoch.
      stage: how long and how fast.

    Raises:
      UserError: the mesh does not fit the batch; the folder holds another
        training.
    """
    data = self.plan(sequences, stage)
    self._show_one_example(data)
    # The copy for sampling makes room; it is made again when it is needed.
    self._sampling_params = None
    result = fit(
      base=self.base,
      lora=self._config.lora,
      initial=self.new_adapter() if start.tree is None else start.tree,
      data=data,
      config=self._config.training(stage),
      mesh=self.mesh,
      workdir=workdir,
      name=name,
    )
    return Adapter(name, result.trained, result.fingerprint), result, data

  def read_adapter(self, workdir: epath.Path, name: str) -> Adapter:
    """The adapter that `train` made under this name."""
    declared = declare(self.shape, self._config.lora)["lora"]
    like = abstract(declared, self._partition, jnp.float32)
    return Adapter(name, *read_trained(workdir / name, like))

  def _show_one_example(self, data: TrainData) -> None:
    """A wrong mask is seen at once."""
    text = StringIO()
    console = rich.console.Console(
      file=text, force_terminal=sys.stdout.isatty()
    )
    show.show(console, data, self.tokenizer, count=1)
    self.say(text.getvalue().rstrip())

  # --- sampling -------------------------------------------------------------

  def generate(
    self,
    adapter: Adapter,
    prompts: Sequence[View],
    sampling: SamplingParams,
    file: epath.Path,
  ) -> list[RequestOutput | None]:
    """Samples answers into `file`; resumes, or reads what is there.

    Of several processes each answers its part, with a copy of the weights on
    its own devices: a process need not wait for the others' longest answers.

    Returns:
      One output a prompt, in order; None where the prompt is longer than the
      sampler's cache or the chat template refuses it.
    """
    token_ids = self._token_ids(prompts)
    outputs = sample_to_file(
      file,
      self._sampler(adapter),
      self._params_for_sampling(),
      list(token_ids.values()),
      sampling,
      adapter=self._sharded_for_sampling(adapter.tree, "lora"),
      indices=list(token_ids),
      source=f"{self.base.fingerprint} {adapter.fingerprint}",
      on_replace=self.say,
      on_output=Progress(f"{file.parent.name}/{file.stem}", self.say),
    )
    by_index = {output.index: output for output in outputs}
    return [by_index.get(index) for index in range(len(prompts))]

  def fitting(self, prompts: Sequence[View]) -> int:
    """How many of the prompts can be sampled: known before any training."""
    return len(self._token_ids(prompts))

  def _token_ids(self, prompts: Sequence[View]) -> dict[int, list[int]]:
    """Token ids by index, of the prompts that can be sampled."""
    longest = max(self._config.sampler.prompt_buckets)
    found = {}
    for index, view in enumerate(prompts):
      try:
        ids = self.encoder.prompt_ids(view)
      except EncodeError:
        continue
      if len(ids) <= longest:
        found[index] = ids
    return found

  def _sampler(self, adapter: Adapter) -> Sampler:
    """One for the base, one for adapters: their programs differ."""
    adapted = adapter.tree is not None
    if adapted not in self._samplers:
      decoder = Decoder(
        self.shape,
        lora=self._config.lora if adapted else None,
        dtype=jnp.dtype(self._config.train.compute_dtype),
      )
      self._samplers[adapted] = Sampler(
        decoder,
        self.tokenizer,
        self._sampling_partition.mesh,
        self._config.sampler,
      )
    return self._samplers[adapted]

  @functools.cached_property
  def _sampling_partition(self) -> Partition:
    """How weights are sharded for sampling, over this process's own devices."""
    devices = self.mesh.local_devices
    partition = sampling_partition(
      self._config,
      self.shape,
      self._partition,
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

  def _params_for_sampling(self) -> Any:
    if self._sampling_params is None:
      self._sampling_params = self._sharded_for_sampling(
        self.base.params, "params"
      )
    return self._sampling_params

  def _sharded_for_sampling(self, tree: Any, collection: str) -> Any:
    """A tree as sampling shards it; all processes must call it.

    Args:
      tree: sharded for training; None stays None.
      collection: what it is, "params" or "lora".

    Returns:
      The same arrays where both shardings are the same.
    """
    if tree is None:
      return None
    declared = declare(self.shape, self._config.lora)[collection]

    def put(x: jax.Array, sharding: NamedSharding) -> jax.Array:
      here = x.is_fully_addressable
      return jax.device_put(x if here else checkpoint.on_host(x), sharding)

    shardings = self._sampling_partition.shardings(declared)
    return jax.tree.map(put, tree, shardings)
