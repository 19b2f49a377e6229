"""A judge whose true win rates and position bias are planted."""

import numpy as np

from paribus.records import Verdict

Shares = tuple[float, float, float]


def simulate(
    rng: np.random.Generator,
    shares: dict[str, Shares],
    *,
    questions: int = 200,
    model: str = "ours",
    baseline: str = "base",
    captured: float = 0.0,
    sticky: float = 0.0,
    strong: float = 0.0,
    unparsed: float = 0.0,
    double: bool = True,
) -> list[Verdict]:
    """Verdicts on ``questions`` x languages.

    shares: per language, the true (win, tie, loss) shares of the model.
    captured: share of games decided by place alone (the answer shown first wins).
    sticky: chance that a prompt takes its outcome from the question's own draw, so that languages of a question agree.
    """
    verdicts = []
    for number in range(questions):
        common, keep = rng.random(), rng.random(len(shares)) < sticky
        for stays, (language, (win, tie, _)) in zip(keep, shares.items(), strict=True):
            draw = common if stays else rng.random()
            truth = 1 if draw < win else 0 if draw < win + tie else -1
            orders = ("ab", "ba") if double else (("ab", "ba")[int(rng.integers(2))],)
            for order in orders:
                outcome = truth
                if rng.random() < captured:
                    outcome = 1 if order == "ab" else -1
                label = _label(outcome, rng.random() < strong)
                verdicts.append(
                    Verdict(
                        prompt_id=f"q{number}",
                        language=language,
                        a=model,
                        b=baseline,
                        judge="simulated",
                        order=order,
                        label=None if rng.random() < unparsed else label,
                    )
                )
    return verdicts


def _label(outcome: int, strong: bool) -> str:
    if outcome == 0:
        return "A=B"
    return {(1, True): "A>>B", (1, False): "A>B", (-1, True): "B>>A", (-1, False): "B>A"}[outcome, strong]


def game(label: str | None, order: str = "ab", prompt: str = "q", language: str = "en", **names: str) -> Verdict:
    """One verdict by hand."""
    fields = {"a": "ours", "b": "base", "judge": "j", **names}
    return Verdict(prompt_id=prompt, language=language, order=order, label=label, **fields)


def turned(verdict: Verdict) -> Verdict:
    """The same game with the names of the two sides exchanged."""
    flipped = {"A>>B": "B>>A", "A>B": "B>A", "A=B": "A=B", "B>A": "A>B", "B>>A": "A>>B", None: None}[verdict.label]
    order = "ba" if verdict.order == "ab" else "ab"
    return verdict.model_copy(update={"a": verdict.b, "b": verdict.a, "label": flipped, "order": order})
