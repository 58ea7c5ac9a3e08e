"""The files beside a checkpoint's weights that say how text becomes ids."""

import os

from etils import epath

from tooldev_jax import io

# What transformers reads for a tokenizer, its chat templates and processors,
# and how it generates. Named templates have a folder of their own.
_PATTERNS = (
  "tokenizer*",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab*",
  "merges.txt",
  "*.model",
  "*.tiktoken",
  "tekken.json",
  "chat_template*",
  "additional_chat_templates/*.jinja",
  "processor_config.json",
  "*preprocessor_config.json",
  "generation_config.json",
)


def copy_tokenizer_files(
  source: io.PathLike, folder: io.PathLike
) -> tuple[str, ...]:
  """Copies what lies beside a checkpoint's weights and belongs with them.

  Args:
    source: the checkpoint's folder, local or gs://.
    folder: where to. Such files that lie there and not in `source` go.

  Returns:
    The copied files, by their paths within the folder.
  """
  source, folder = epath.Path(source), epath.Path(folder)
  names = _found(source)
  for stale in set(_found(folder)) - set(names):
    (folder / stale).unlink()
  for name in names:
    io.write_bytes(folder / name, (source / name).read_bytes())
  return names


def _found(folder: epath.Path) -> tuple[str, ...]:
  if not folder.is_dir():
    return ()
  root = os.fspath(folder).rstrip("/") + "/"
  paths = {
    path
    for pattern in _PATTERNS
    for path in folder.glob(pattern)
    if not path.is_dir()
  }
  return tuple(sorted(os.fspath(path).removeprefix(root) for path in paths))
