"""The sampler: prompts in, samples out."""
