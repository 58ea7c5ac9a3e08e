"""Finds a thought that a chat template's generation prompt leaves open.

Some templates begin the answer with `<think>` (R1, Qwen3-Thinking) or a mark of
their own. What comes next is then read as thought, and a call trained there is
a call inside of a thought. Where the template shows how the thought ends, the
prompts of training and sampling end it; where it does not, it is refused.
"""

import re

from tooldev_jax.data import control

# Marks that may stand in pairs: `<think>`, `[THINK]`, `<|begin_of_thought|>`.
_MARK = re.compile(r"<[|｜]?/?[\w:. -]{1,40}[|｜]?>|\[/?[A-Z_]{1,40}\]")
_THOUGHT_NAME = re.compile(
  r"think|thought|reason|reflect|scratch|analysis|ponder|monologue|\bcot\b",
  re.IGNORECASE,
)
_OPPOSITES = (
  ("begin", "end"), ("Begin", "End"), ("BEGIN", "END"), ("start", "end"),
  ("Start", "End"), ("START", "END"), ("open", "close"), ("OPEN", "CLOSE"),
)  # fmt: skip


def thought_end(tail: str, head: str, known: str) -> str:
  """The text that ends the thought which a generation prompt leaves open.

  Args:
    tail: what the generation prompt writes after a user's message.
    head: what the template writes between a user's message and a finished
      answer.
    known: text that holds all marks of the checkpoint: its template and its
      control tokens.

  Returns:
    What must follow the generation prompt; empty where no thought is open.

  Raises:
    TokenizerError: a thought is open and nothing says how it ends.
  """
  for mark in reversed(_open_marks(tail)):
    ends = _ends_of(mark)
    after = head[len(tail) :] if head.startswith(tail) else ""
    if any(end in after for end in ends):
      return after  # The template's own way to write a thought without words.
    is_thought = _THOUGHT_NAME.search(mark) is not None
    if mark in head and not is_thought:
      continue  # It opens every turn, as `<|im_start|>` does.
    for end in ends:
      if end in known:
        return f"\n{end}\n\n"
    if is_thought:
      raise control.TokenizerError(
        f"the chat template's generation prompt opens a thought with {mark!r}, "
        "and nothing in it shows how the thought ends, so calls would be "
        "trained inside of it; use a template that ends the thought"
      )
  return ""


def _open_marks(text: str) -> list[str]:
  """The marks in `text` that nothing after them ends, in order."""
  found = list(_MARK.finditer(text))
  return [
    match.group()
    for match in found
    if _ends_of(match.group())
    and not any(x in text[match.end() :] for x in _ends_of(match.group()))
    and not any(match.group() in _ends_of(x.group()) for x in found)
  ]


def _ends_of(mark: str) -> list[str]:
  """How the partner of a mark may be written; none where it is the second."""
  head = re.match(r"<[|｜]?|\[", mark)
  assert head is not None
  name = mark[head.end() :]
  if name.startswith("/"):
    return []
  swapped = [mark.replace(x, y) for x, y in _OPPOSITES if x in mark]
  return [*swapped, f"{head.group()}/{name}", f"{head.group()}end_{name}"]
