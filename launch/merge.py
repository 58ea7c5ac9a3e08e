r"""Writes a base with an adapter merged in, for transformers to load.

    python -m launch.merge --base=FOLDER_OR_HUB_ID \
        --adapter=runs/mine/export/adapter --out=merged [--dtype=float32]

The adapter is a PEFT folder, ours or one that peft made. Tokenizer, chat
templates and generation config come from beside the base, with the stop
tokens that training used. Says how far rounding the merged weights moved the
model, and warns where it changed greedy answers. Exit status: 0 done, 2 a
mistake.
"""

from absl import app, flags, logging

from launch import errors

_DTYPES = ("float32", "bfloat16", "float16")
_PROMPTS = (
  "What is the weather in Lisbon tomorrow?",
  "Book a table for 4 at Bella Roma on Friday at 19:30.",
  "Convert 250 euros to Japanese yen.",
  "Remind me to call Anna at 8 am and turn off the lights at 10 pm.",
  "Which trains leave Berlin for Hamburg after 6 pm?",
  "Play something quiet and set the volume to 30.",
  "Send a message to Omar: I am ten minutes late.",
  "Thank you, that is all for today.",
)

_BASE = flags.DEFINE_string(
  "base", None, "Folder or hub id of the base.", required=True
)
_ADAPTER = flags.DEFINE_string(
  "adapter", None, "PEFT folder of the adapter.", required=True
)
_OUT = flags.DEFINE_string(
  "out", None, "Folder for the merged model.", required=True
)
_DTYPE = flags.DEFINE_enum(
  "dtype", None, _DTYPES, "Of the merged weights; the base's if not given."
)


def merge(base: str, adapter: str, out: str, dtype: str | None = None) -> str:
  """Merges and writes; returns what to tell.

  Args:
    base: folder or hub id.
    adapter: PEFT folder.
    out: folder to write.
    dtype: one of float32, bfloat16 and float16; None for the base's.

  Raises:
    UserError: no such base or adapter, or one that was made for another
      base, or `out` is the base itself.
  """
  import dataclasses

  from tooldev_jax import io
  from tooldev_jax.data.tokenizer_files import copy_tokenizer_files
  from tooldev_jax.errors import UserError
  from tooldev_jax.models import checkpoint, export, model_folder, peft

  folder = model_folder.resolve_folder(base)
  if io.absolute(out) == io.absolute(folder):
    raise UserError(f"--out={out} is the base itself; give another folder")
  loaded = checkpoint.load_model(folder)
  lora, factors = peft.load_adapter(adapter, loaded.config, loaded.fingerprint)
  config, prompts, source = _with_tokenizer(folder, loaded.config)
  loaded = dataclasses.replace(loaded, config=config)
  copied = copy_tokenizer_files(folder, out)
  report = export.export_merged(loaded, factors, lora, out, prompts, dtype)
  lines = [
    f"{out}: merged in {report.dtype}",
    f"copied beside it: {', '.join(copied) or 'nothing'}",
    f"stop tokens: {list(config.stop_token_ids) or 'none'}, {source}",
    f"largest difference of a logit: {report.max_logit_difference:.2g}, of "
    f"logits up to {report.max_logit:.3g}; greedy answers changed: "
    f"{report.changed_answers} of {report.prompts}",
  ]
  if report.changed_answers and report.dtype != "float32":
    lines.append(
      f"warning: rounding to {report.dtype} changes what the model answers; "
      "--dtype=float32 keeps it"
    )
  return "\n".join(lines)


def _with_tokenizer(folder, config):
  """The config with its stop tokens, prompts, and where they come from."""
  import numpy as np

  from tooldev_jax.config import EncodeConfig
  from tooldev_jax.data.encoding import EncodeError, Encoder
  from tooldev_jax.data.tokenizer import ChatTokenizer, TokenizerError
  from tooldev_jax.data.views import View
  from tooldev_jax.toolcall.vocabulary import Message

  try:
    tokenizer = ChatTokenizer.load(folder)
    encoder = Encoder(tokenizer, options=EncodeConfig(prompt_style="toolace"))
    prompts = [
      encoder.prompt_ids(View("adaption", x, (Message("user", x),), (), ""))
      for x in _PROMPTS
    ]
  except (TokenizerError, EncodeError) as error:
    # A bare base can be merged; its answers are compared on random tokens.
    rng = np.random.default_rng(0)
    prompts = rng.integers(0, config.vocab_size, (len(_PROMPTS), 32)).tolist()
    return config, prompts, f"as config.json says, for want of others: {error}"
  stops = tokenizer.stop_token_ids
  config = config.with_stop_tokens(stops, tokenizer.pad_id)
  return config, prompts, "those that training used"


def main(_) -> None:
  logging.set_verbosity(logging.WARNING)
  with errors.shown_plainly():
    print(merge(_BASE.value, _ADAPTER.value, _OUT.value, _DTYPE.value))


if __name__ == "__main__":
  app.run(main)
