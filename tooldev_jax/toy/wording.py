"""How people phrase a request, with frames of its own for every split."""

import random
from collections.abc import Sequence

from tooldev_jax.toy import lexicon
from tooldev_jax.toy.parameters import PLAIN, SPLITS

# A frame wraps the whole request.
FRAMES = dict(
  zip(
    SPLITS,
    (
      (
        "please {request}",
        "{request}",
        "can you {request} ?",
        "could you {request} ?",
        "i want to {request}",
        "i need to {request}",
        "{request} please",
        "{request} now",
        "i would like to {request}",
        "help me {request}",
        "let us {request}",
        "can we {request} ?",
        "my plan is to {request}",
        "we have to {request}",
        "hello, {request}",
        "is it possible to {request} ?",
        "time to {request}",
        "go ahead and {request}",
        "just {request}",
        "today we {request}",
        "you should {request}",
        "try to {request}",
        "i was asked to {request}",
        "would you {request} ?",
        "quickly {request}",
        "first, {request}",
        "{request}, thanks",
        "{request} for me",
        "can somebody {request} ?",
        "it is time to {request}",
      ),
      (
        "would you kindly {request} ?",
        "i am trying to {request}",
        "my boss wants me to {request}",
        "{request}, will you ?",
        "how about you {request}",
        "the next step is to {request}",
        "do me a favor and {request}",
        "we should {request} soon",
      ),
      (
        "i wonder if you could {request}",
        "make sure to {request}",
        "what i need is to {request}",
        "{request} as soon as possible",
        "remember to {request}",
        "any chance to {request} ?",
      ),
      (
        "the task is to {request}",
        "i was hoping to {request}",
        "be so good as to {request}",
        "{request} whenever you can",
        "somebody must {request}",
      ),
      (
        "it would be great to {request}",
        "your job is to {request}",
        "i am supposed to {request}",
        "{request} if you do not mind",
        "why not {request} ?",
        "they told me to {request}",
      ),
    ),
    strict=True,
  )
)

# What joins the parts of a request that needs several calls.
JOINERS = dict(
  zip(
    SPLITS,
    (
      (" and ", " and also ", ", then ", ", and "),
      ("; after that ", " and afterwards "),
      ("; besides ", " and besides that "),
      (" plus ", " as well as "),
      (", and in addition ", " and at the same time "),
    ),
    strict=True,
  )
)

# Sentences beside the point.
ASIDES = dict(
  zip(
    SPLITS,
    (
      (
        "i am in a hurry.",
        "it has been a long day.",
        "the sun is out.",
        "sorry to bother you.",
        "my phone is slow.",
        "we talked about it.",
        "this is important to me.",
        "i forgot it last time.",
        "no rush at all.",
        "thank you so much.",
      ),
      ("i just got home.", "things are busy here.", "you helped me before."),
      ("the line was bad earlier.", "my friends are waiting."),
      ("i could not do it myself.", "it rained the whole morning."),
      ("the others left already.", "this came up out of nowhere."),
    ),
    strict=True,
  )
)

# Another call of the same tool, without naming it again.
AGAIN = dict(
  zip(
    SPLITS,
    (
      ("another one", "one more", "a second one"),
      ("a further one",),
      ("an extra one",),
      ("an additional one",),
      ("yet another",),
    ),
    strict=True,
  )
)


# First lessons: the tool's own verb, nothing beside the point.
FRAMES[PLAIN] = ("{request}", "please {request}", "can you {request} ?")
JOINERS[PLAIN] = (" and ",)
ASIDES[PLAIN] = ("thank you.",)
AGAIN[PLAIN] = ("another one",)


def action(verb: str, thing: str, split: str, rng: random.Random) -> str:
  """'book a table' in one of the ways to say it."""
  words = verb if split == PLAIN else rng.choice(lexicon.VERBS[verb])
  article = rng.choice(("a", "the", "my", "our"))
  if article == "a" and thing[0] in "aeiou":
    article = "an"
  return f"{words} {article} {thing}"


def clause(act: str, mentions: Sequence[str], rng: random.Random) -> str:
  """The action and its arguments."""
  return f"{act} {rng.choice((' ', ' ', ', ', ' and ')).join(mentions)}".strip()


def request(
  clauses: Sequence[str], lead: str, split: str, rng: random.Random
) -> str:
  """The whole query; `lead` is an argument that is said first, or empty."""
  text = clauses[0]
  for further in clauses[1:]:
    text += rng.choice(JOINERS[split]) + further
  text = rng.choice(FRAMES[split]).format(request=text)
  if lead:
    text = f"{lead}, {text}"
  if rng.random() < 0.15:
    aside = rng.choice(ASIDES[split])
    stop = " " if text.endswith("?") else ". "
    text = f"{aside} {text}" if rng.random() < 0.5 else text + stop + aside
  if rng.random() < 0.3:
    text = text[0].upper() + text[1:]
  return text
