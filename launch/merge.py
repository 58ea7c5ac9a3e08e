r"""Writes a base with an adapter merged in, for transformers to load.

    python -m launch.merge --base=FOLDER_OR_HUB_ID \
        --adapter=runs/mine/export/adapter --out=merged

The adapter is a PEFT folder, ours or one that peft made. Tokenizer, chat
template and generation config come from beside the base. Says how far merging
moved the logits. Exit status: 0 done, 2 a mistake.
"""

from absl import app, flags, logging

from launch import errors

_BASE = flags.DEFINE_string(
  "base", None, "Folder or hub id of the base.", required=True
)
_ADAPTER = flags.DEFINE_string(
  "adapter", None, "PEFT folder of the adapter.", required=True
)
_OUT = flags.DEFINE_string(
  "out", None, "Folder for the merged model.", required=True
)


def merge(base: str, adapter: str, out: str) -> str:
  """Merges and writes; returns what to tell.

  Raises:
    UserError: no such base or adapter, or one that was made for another
      base, or `out` is the base itself.
  """
  from tooldev_jax import io
  from tooldev_jax.errors import UserError
  from tooldev_jax.models import checkpoint, export, peft

  folder = checkpoint.resolve_folder(base)
  if io.absolute(out) == io.absolute(folder):
    raise UserError(f"--out={out} is the base itself; give another folder")
  loaded = checkpoint.load_model(folder)
  lora, factors = peft.load_adapter(adapter, loaded.config, loaded.fingerprint)
  told = export.export_merged(loaded, factors, lora, out)
  beside = ", ".join(told.copied) or "nothing"
  return (
    f"{out}: merged; largest difference of a logit "
    f"{told.max_logit_difference:.2g}, of logits up to {told.max_logit:.3g}; "
    f"copied beside it: {beside}"
  )


def main(_) -> None:
  logging.set_verbosity(logging.WARNING)
  with errors.shown_plainly():
    print(merge(_BASE.value, _ADAPTER.value, _OUT.value))


if __name__ == "__main__":
  app.run(main)
