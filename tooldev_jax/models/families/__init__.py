"""The families this project knows: one small file of data each."""

from tooldev_jax.models.families.family import Family
from tooldev_jax.models.families.gemma import GEMMA2, GEMMA3
from tooldev_jax.models.families.llama import LLAMA
from tooldev_jax.models.families.mistral import MISTRAL
from tooldev_jax.models.families.qwen import QWEN2, QWEN3

FAMILIES = {
  family.model_type: family
  for family in (LLAMA, MISTRAL, QWEN2, QWEN3, GEMMA2, GEMMA3)
}

__all__ = ["FAMILIES", "Family"]
