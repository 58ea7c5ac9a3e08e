"""Flax decoders that are the Hugging Face models, with LoRA."""
