r"""Turns a GGUF file into a Hugging Face folder.

    python -m launch.import_gguf --gguf=model.Q4_1.gguf --out=models/mine

Families: Llama, Qwen 2.5, Qwen 3 and Gemma 3 text, in any quantisation. The
weights are dequantised to bfloat16. Exit status: 0 done, 2 a mistake.
"""

from absl import app, flags

from launch import errors

_GGUF = flags.DEFINE_string("gguf", None, "The file.")
_OUT = flags.DEFINE_string("out", None, "The folder to write.")


def main(_) -> None:
  from tooldev_jax import io
  from tooldev_jax.models import gguf

  with errors.shown_plainly():
    folder = gguf.import_gguf(_GGUF.value, io.absolute(_OUT.value))
    print(f"wrote {folder}")


if __name__ == "__main__":
  flags.mark_flags_as_required(["gguf", "out"])
  app.run(main)
