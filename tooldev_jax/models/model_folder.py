"""A model's folder, but for its weights: where it is, and its two configs."""

import json
import os

from etils import epath

from tooldev_jax import io
from tooldev_jax.errors import UserError
from tooldev_jax.models.config import DecoderConfig, token_ids
from tooldev_jax.models.fields import read_object


def resolve_folder(folder_or_id: str | epath.PathLike) -> epath.Path:
  """A local (or gs://) folder as it is; a hub id as its downloaded snapshot.

  Raises:
    UserError: neither a folder nor a model the hub gives us; says what to do.
  """
  folder = epath.Path(folder_or_id)
  if folder.is_dir():
    return folder
  name = os.fspath(folder_or_id)
  if name.count("/") != 1 or name.startswith((".", "~")):
    raise UserError(
      f"{name}: no such folder, and not a hub id such as Qwen/Qwen2.5-1.5B."
    )
  # Here, because everything but a hub id works without the package.
  import huggingface_hub
  from huggingface_hub import errors as hub_errors

  try:
    snapshot = huggingface_hub.snapshot_download(
      name,
      allow_patterns=[
        *("*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"),
        "*.tiktoken",
      ],
      # The same weights once more, in their authors' own layout.
      ignore_patterns=["consolidated*", "original/*"],
    )
    return epath.Path(snapshot)
  except (
    hub_errors.HfHubHTTPError,
    hub_errors.LocalEntryNotFoundError,
    hub_errors.HFValidationError,
    OSError,
  ) as e:
    raise UserError(
      f"{name}: cannot be fetched from the Hugging Face hub ({e}). Where "
      "there is no network, download it elsewhere with `hf download "
      f"{name} --local-dir FOLDER`, copy the folder here and give its path; "
      "for a gated model, log in with `hf auth login` first."
    ) from e


def read_config(folder: epath.PathLike) -> DecoderConfig:
  """The config of a model folder."""
  path = epath.Path(folder) / "config.json"
  fields = read_object(path, "no such file; not a model folder")
  return DecoderConfig.from_hf(fields, os.fspath(path))


def write_generation_config(folder: epath.Path, config: DecoderConfig) -> None:
  """Writes what makes transformers and vLLM end an answer by themselves.

  Args:
    folder: the generation_config.json that lies there is kept, and stop
      tokens are added to its own.
    config: names the stop tokens; without any nothing is written.
  """
  path = folder / "generation_config.json"
  fields = read_object(path) if path.exists() else {}
  named = (*token_ids(fields.get("eos_token_id")), *config.stop_token_ids)
  if not config.stop_token_ids:
    return
  ours = json.loads(config.with_stop_tokens(named, config.pad_token_id).extra)
  for field in ("bos_token_id", "eos_token_id", "pad_token_id"):
    if ours.get(field) is not None:
      fields[field] = ours[field]
  # With this mark transformers would put config.json's fields over these.
  fields.pop("_from_model_config", None)
  io.write_json(path, fields)
