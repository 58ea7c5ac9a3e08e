"""A run that never happened, with figures like those of a real one."""

import functools
import random

from tooldev_jax.evaluate import bfcl, bfcl_cases, labels, metrics, tool_making
from tooldev_jax.evaluate.summary import (
  Clock,
  Notice,
  RoundSummary,
  RunSummary,
  ShownSample,
  StageSummary,
)

SIZES = {
  "simple": 120,
  "multiple": 120,
  "parallel": 60,
  "parallel_multiple": 40,
  "irrelevance": 60,
}
WRONG = ("wrong value", "missing argument", "wrong tool", "unparsed")


def fake_judgements(skill, seed):
  """Judgements of a model that gets a share `skill` of the calls right."""
  judged = []
  for category, size in SIZES.items():
    hard = 0.75 if "parallel" in category else 1.0
    for i in range(size):
      # The same draw for every skill: a better model loses few items.
      rng = random.Random(f"{category}{i}{seed // 100}")
      noise = random.Random(f"{category}{i}{seed}").uniform(-0.08, 0.08)
      right = rng.random() < skill * hard + noise
      fits = category != "irrelevance"
      gold = 2 + 2 * ("parallel" in category) if fits else 0
      if right:
        outcome, got = ("exact" if fits else "abstained"), gold
      else:
        outcome = rng.choice(WRONG) if fits else "call where none fits"
        got = rng.randrange(gold) if outcome in WRONG[:2] else 0
      parsed = outcome != "unparsed"
      judged.append(
        metrics.Judgement(
          example_id=f"{category}-{i}",
          category=category,
          outcome=outcome,
          parsed=parsed,
          parse_reason="" if parsed else "unterminated",
          gold_calls=(1 + ("parallel" in category)) if fits else 0,
          made_calls=int(parsed and outcome != "abstained"),
          exact=right,
          names=right or outcome in WRONG[:2],
          arguments_right=got,
          arguments_made=gold if parsed else 0,
          arguments_gold=gold,
          finish_reason="stop" if parsed else "length",
        )
      )
  return judged


def fake_tools(skill, seed):
  rng = random.Random(seed)
  judged = []
  for i in range(200):
    valid = rng.random() < 0.55 + skill / 2
    usable = valid and rng.random() < skill + 0.2
    judged.append(
      tool_making.ToolJudgement(
        example_id=str(i),
        category="simple",
        parsed=valid or rng.random() < 0.5,
        parse_reason="" if valid else "bad json",
        made_tools=rng.choice((1, 1, 2)),
        valid=valid,
        findings=(),
        gold_tools=1,
        named=int(rng.random() < skill * 0.6),
        parameters=3,
        parameters_named=rng.randrange(4),
        parameters_typed=rng.randrange(2),
        usable=usable,
        usable_by_name=usable and rng.random() < 0.4,
      )
    )
  return tool_making.score(judged)


def fake_labels(skill, shares, seed):
  rng = random.Random(seed)
  return labels.score(
    [
      labels.LabelJudgement(
        example_id=str(i),
        vote_share=share,
        calls_right=True,
        values_exact=(right := rng.random() < skill * (0.5 + share / 2)),
        value_precision=1.0 if right else 0.5,
        value_recall=1.0 if right else 0.6,
        names=rng.random() < 0.3,
      )
      for i, share in enumerate(shares)
    ]
  )


def fake_bfcl(skill, seed):
  rng = random.Random(seed)
  judged = []
  for category, group in bfcl_cases.CATEGORIES.items():
    for i in range(20):
      chance = 1 - skill / 2 if group == "irrelevance" else skill / 3
      valid = rng.random() < chance
      error = "" if valid else "value_error:string"
      judged.append(
        bfcl.BfclJudgement(f"{category}_{i}", category, valid, error)
      )
  return bfcl.score(judged, "2026.3.23")


def fake_curve(start, end, steps, seed):
  rng = random.Random(seed)
  every = range(1, steps + 1)
  return tuple(every), tuple(
    end + (start - end) * 0.97**step + rng.gauss(0, 0.015) for step in every
  )


@functools.cache
def fake_summary():
  """A run of two stages and three rounds, the second of them rolled back."""
  plan = (
    ("base", 0.30, True, 0, 0.0, 0.0),
    ("adapt", 0.33, True, 90, 2.1, 0.9),
    ("decompose", 0.52, True, 160, 1.2, 0.34),
    ("round 1", 0.60, True, 70, 0.5, 0.22),
    ("round 2", 0.58, False, 70, 0.4, 0.2),
    ("round 3", 0.63, True, 70, 0.42, 0.18),
  )
  stages, last = [], None
  for index, (name, skill, accepted, steps, start, end) in enumerate(plan):
    judged = fake_judgements(skill, 700 + index)
    loss_steps, losses = fake_curve(start, end, steps, index)
    stages.append(
      StageSummary(
        name=name,
        accepted=accepted,
        note="4 examples longer than a row were left out"
        if name == "decompose"
        else "",
        calls=metrics.score(judged),
        tools=fake_tools(skill, index),
        bfcl_slice=fake_bfcl(skill, index),
        bfcl=fake_bfcl(skill, index) if name in ("base", "round 3") else None,
        change=metrics.compare(last, judged) if last else None,
        examples=steps * 16,
        tokens=steps * 2048,
        loss_steps=loss_steps,
        losses=losses,
      )
    )
    if accepted:
      last = judged
  rounds = []
  for k in range(3):
    rng = random.Random(k)
    shares = [
      min(8, max(1, round(rng.gauss(5 + k / 2, 2.2)))) / 8 for _ in range(300)
    ]
    kept = [s for s in shares if s >= 0.5]
    rounds.append(
      RoundSummary(
        name=f"round {k + 1}",
        statuses={
          "kept": len(kept),
          "no_majority": 300 - len(kept),
          "no_valid_call": 51 - 9 * k,
          "tools_unreadable": 23 - 4 * k,
          "tools_unsound": 18,
          "prompt_too_long": 2,
        },
        sample_reasons={
          "malformed:unterminated": 210,
          "misfit:wrong_type": 94,
          "ungrounded:not_in_query": 341,
        },
        vote_shares=tuple(shares),
        labels=fake_labels(0.7 + k / 20, kept, k),
        diversity={"distinct tools": 212 - 11 * k, "call entropy": 6.1 - k / 9},
        accepted=k != 1,
        verdict="development score fell by 1.5 points" if k == 1 else "",
      )
    )
  garbage = [
    metrics.Judgement(
      j.example_id,
      j.category,
      "no call" if j.gold_calls else "abstained",
      True,
      "",
      j.gold_calls,
      0,
      not j.gold_calls,
      not j.gold_calls,
      0,
      0,
      j.arguments_gold,
    )
    for j in fake_judgements(0.5, 1)
  ]
  return RunSummary(
    title="Quickstart: toy world, tiny base",
    facts={
      "base": "tiny-base (1.9M parameters)",
      "adapter": "LoRA rank 16 on all linear layers",
      "call format": "pythonic",
      "evaluation": "400 examples of unseen tools",
      "seed": "0",
      "code": "4d59cb58d8a4",
    },
    stages=tuple(stages),
    rounds=tuple(rounds),
    garbage=metrics.score(garbage),
    garbage_bfcl=bfcl.score(
      [
        bfcl.BfclJudgement(f"{c}_{i}", c, g == "irrelevance", "x")
        for c, g in bfcl_cases.CATEGORIES.items()
        for i in range(20)
      ],
      "2026.3.23",
    ),
    samples=(
      ShownSample(
        "round 3",
        "parallel-17",
        "parallel",
        "exact",
        "How warm will it get in Oslo tomorrow, and in Rome over the next"
        " three days?",
        ("get_weather", "book_table"),
        '[get_weather(city="Oslo"), get_weather(city="Rome", days=3)]',
        '[get_weather(city="Oslo", days=1), get_weather(city="Rome", days=3)]',
      ),
      ShownSample(
        "round 3",
        "irrelevance-4",
        "irrelevance",
        "abstained",
        "Tell me a joke about penguins.",
        ("get_weather", "book_table"),
        "",
        "None of the tools fits this request.",
      ),
      ShownSample(
        "round 3",
        "multiple-31",
        "multiple",
        "wrong value",
        "Book a table for four at Noma on Friday evening.",
        ("book_table", "get_weather", "find_route"),
        '[book_table(place="Noma", guests=4, day="Friday")]',
        '[book_table(place="Noma", guests=2, day="Friday")]',
      ),
      ShownSample(
        "round 3",
        "simple-8",
        "simple",
        "unparsed",
        "What is 12 inches in <b>centimetres</b>?",
        ("convert_length",),
        '[convert_length(value=12, from="inch", to="cm")]',
        '[convert_length(value=12, from="inch\u202e", to=<script>alert(1)'
        "</script>",
      ),
    ),
    notices=(
      Notice(
        "examples left out of decompose", 4, 2560, "longer than a row of 512"
      ),
      Notice("distractor tools dropped", 31, 2560, "the prompt was too long"),
    ),
    config="seed: 0\nevolve:\n  rounds: 3\n  samples: 8\n",
    next_step="python -m launch.run --config=configs/real_small.py",
    clock=Clock(
      machine="2 cores, CPU",
      started="2026-11-22 07:00",
      finished="2026-11-22 07:09",
      seconds={
        "adapt": 41.3,
        "decompose": 122.0,
        "round 1": 131.0,
        "round 2": 128.4,
        "round 3": 127.1,
        "evaluate": 74.9,
      },
    ),
  )
