"""Teach small open language models to use and make tools, in JAX."""

import os

# transformers is used for tokenizers and configs: that there is no PyTorch
# beside it is no news.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
