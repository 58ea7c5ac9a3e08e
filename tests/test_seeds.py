"""Seeds are repeatable and depend on every name."""

from tooldev_jax.seeds import fold


def test_a_seed_is_the_same_in_every_process():
  assert fold(0, "round", 1) == 970926826


def test_seeds_depend_on_the_root_the_names_and_their_order():
  seeds = {
    fold(0, "a"), fold(1, "a"), fold(0, "b"), fold(0, "a", "b"),
    fold(0, "b", "a"), fold(0, "ab"), fold(0),
  }  # fmt: skip
  assert len(seeds) == 7
  assert all(0 <= seed < 2**31 for seed in seeds)
