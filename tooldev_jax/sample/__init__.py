"""The sampler: prompts in, n samples each out.

Read `params` (the nouns), `sampler` (the loop), then `programs` (what runs on
the device), `cache` (attention over segments), `policy` (logits to a token)
and `schedule` (which prompt goes where).
"""
