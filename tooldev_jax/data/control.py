"""Keeps text that people and models wrote from becoming control tokens.

A checkpoint's control tokens (`<|im_end|>`, `</s>`, `[INST]`, ...) steer it.
The chat template may write them; a user's message, a tool's description or a
model's own answer may not, whatever characters it holds.

The way of it: before a string enters a template, every control token spelt
out in it is broken by a secret inserted after its first character. What the
template then renders holds whole control tokens only where the template
itself wrote them. The rendering is cut there, the secret is taken out again,
and what lies between is tokenised by a copy of the tokenizer that knows no
control tokens. A broken token keeps every character, so escaping, trimming
and JSON quoting by the template work on it as on any other text.

Text could also *complete* a control token together with what the template
writes beside it (a message that ends in `<|im_end|` before a `>`). So the
secret also goes to an end of a string that could be part of one.
"""

import functools
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from tooldev_jax import errors


class TokenizerError(errors.UserError):
  """A checkpoint's tokenizer or chat template cannot be used as it is."""


class ControlTokens:
  """The strings that stand for control tokens, and how to defuse them.

  Attributes:
    ids: control string to token id.
    secret: ASCII letters and digits, drawn anew in every process, so that no
      data can hold it. It never reaches a token id.
  """

  def __init__(self, ids: Mapping[str, int]):
    short = sorted(text for text in ids if len(text) < 2)
    if short:
      raise TokenizerError(
        f"control tokens of one character cannot be told from text: {short}"
      )
    self.ids = dict(ids)
    self.secret = "Q" + secrets.token_hex(16)
    longest_first = sorted(ids, key=lambda text: (-len(text), text))
    pattern = "|".join(re.escape(text) for text in longest_first) or r"(?!)"
    self._whole = re.compile(f"({pattern})")
    # The lookahead finds overlapping tokens too: `<<s>` holds one at 1.
    self._starts = re.compile(f"(?=(?:{pattern}))")
    self._heads = {t[:i] for t in ids for i in range(1, len(t))}
    self._tails = {t[i:] for t in ids for i in range(1, len(t))}
    self._first = {text[0] for text in ids}
    self._last = {text[-1] for text in ids}
    self._joined = "\n".join(longest_first)
    self._longest = max((len(text) for text in ids), default=0)
    # Parameter names and types recur in every tool.
    self._shield_short = functools.lru_cache(maxsize=1 << 16)(self._shield)

  def shield(self, text: str) -> str:
    """`text` with the secret wherever it could join a control token."""
    return self._shield_short(text) if len(text) < 64 else self._shield(text)

  def _shield(self, text: str) -> str:
    if self.secret in text:
      raise ValueError("text holds the secret of this process")
    core = text.strip()  # templates trim, so the visible ends count
    if not core:
      return text
    opens, closes = self._opens(core), self._closes(core)
    breaks = [m.start() + 1 for m in self._starts.finditer(core)]
    if not (opens or closes or breaks):
      return text
    start = text.index(core)
    before, after = text[:start], text[start + len(core) :]
    cuts = zip([0, *breaks], [*breaks, None], strict=True)
    core = self.secret.join(core[i:j] for i, j in cuts)
    return "".join(
      (before, self.secret * opens, core, self.secret * closes, after)
    )

  def _inside(self, core: str) -> bool:
    """Whether all of `core` could be the middle of one control token."""
    return len(core) < self._longest and core in self._joined

  def _opens(self, core: str) -> bool:
    """Whether `core` could begin with the end of a control token."""
    head = core[: self._longest]
    if not self._last.isdisjoint(head) and any(
      head[:i] in self._tails for i in range(1, len(head) + 1)
    ):
      return True
    return self._inside(core)

  def _closes(self, core: str) -> bool:
    """Whether `core` could end with the beginning of a control token."""
    tail = core[-self._longest :] if self._longest else ""
    if not self._first.isdisjoint(tail) and any(
      tail[i:] in self._heads for i in range(len(tail))
    ):
      return True
    return self._inside(core)

  def shield_json(self, value: Any) -> Any:
    """`value` with every string and every key in it shielded."""
    if isinstance(value, str):
      return self.shield(value)
    if isinstance(value, Mapping):
      return {
        self.shield(str(k)): self.shield_json(v) for k, v in value.items()
      }
    if isinstance(value, Sequence):
      return [self.shield_json(item) for item in value]
    return value

  def unshield(self, text: str) -> str:
    """Takes the secret out again: the inverse of `shield`."""
    return text.replace(self.secret, "")

  def split(self, text: str) -> list[tuple[str, bool]]:
    """Cuts `text` at whole control tokens: [(piece, is_control), ...].

    Pieces are in order and not empty; text pieces may still hold the secret.
    """
    return [
      (piece, bool(i % 2))
      for i, piece in enumerate(self._whole.split(text))
      if piece
    ]
