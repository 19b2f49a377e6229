"""Charts about critics, and about what follows from reading them: lengths, edits, the best of several answers."""

import json
from statistics import fmean
from typing import Any

from paribus.lab import Panel
from paribus.studies.stages.critiques import QUALITY, read_critiques
from paribus.studies.stages.graded import TESTS, read_answers
from paribus.studies.stages.outcomes_critiques import UNKNOWN, CritiqueOutcomes, shown
from paribus.studies.stages.panels import summaries
from paribus.studies.stages.readers import CUT, EDITS, SCORES
from paribus.studies.stages.rows import read_rows

SHOWN = 3
"""Sample answers with critiques."""


class CriticCharts(CritiqueOutcomes):
    """How good critics are, what reward models make of them, and what did not fit."""

    def length_bias(self) -> Panel:
        """Accuracy where the preferred answer is longer, and where it is shorter."""
        import numpy as np

        from paribus.evaluation.length_bias import length_bias
        from paribus.evaluation.reward_models import ScoredPairs

        rows = []
        for arm in dict.fromkeys((self.config.bare, *self.config.critic_arms.values())):
            pairs, scores = [], []
            for seed in self.config.seeds:
                by_pair = {row["pair"]: row for row in read_rows(self.examinations[f"{arm}@{seed}"] / SCORES)}
                for pair in self.tests:
                    pairs.append(pair.model_copy(update={"id": f"{pair.id}@{seed}"}))
                    scores.append((by_pair[pair.id]["chosen"], by_pair[pair.id]["rejected"]))
            table = np.array(scores)
            found = length_bias(
                ScoredPairs(arm, tuple(pairs), table[:, 0], table[:, 1]), by_language=False, resamples=500
            )[0]
            rows.append(
                {
                    "arm": arm,
                    "preferred is longer": shown(found.longer),
                    "preferred is shorter": shown(found.shorter),
                    "difference": shown(found.gap),
                    "margin and length (Spearman)": shown(found.spearman),
                }
            )
        return Panel(
            id="length",
            kind="table",
            title="Does a longer answer win?",
            caption="Accuracy by which answer is longer, and the rank correlation of margins with the gap in length.",
            rows=tuple(rows),
            columns=tuple(rows[0]),
        )

    def edits(self) -> Panel:
        """What rewards do when one claim of a critique is turned around."""
        from paribus.evaluation.counterfactuals import Flip, sensitivity

        rows = []
        for arm in dict.fromkeys((*self.config.critic_arms.values(), *self.config.controls)):
            files = [self.examinations[f"{arm}@{seed}"] / EDITS for seed in self.config.seeds]
            flips = [
                Flip(row["kind"], row["cluster"], row["language"], row["direction"], row["before"], row["after"])
                for file in files
                if file.exists()
                for row in read_rows(file)
            ]
            for found in sensitivity(flips, resamples=500) if flips else ():
                rows.append(
                    {
                        "arm": arm,
                        "claim": found.kind,
                        "reward follows": shown(found.right),
                        "change": shown(found.change, digits=2),
                        "p (Holm)": float(f"{found.adjusted:.2g}"),
                        "edits": found.flips,
                    }
                )
        columns = ("arm", "claim", "reward follows", "change", "p (Holm)", "edits")
        return Panel(
            id="edits",
            kind="table",
            title="One claim of the critique turned around: does the reward follow?",
            caption="Share of edits after which the reward moved the edit's way; exact sign test, a vote a question.",
            rows=tuple(rows),
            columns=columns,
        )

    def best(self) -> Panel:
        """True quality of the best of n answers."""
        named = {"no critiques": self.config.bare} | {
            f"critiques ({name})": arm for name, arm in self.config.critic_arms.items()
        }
        rows = []
        for series, arm in named.items():
            for measure in self._best_measures(arm):
                found = self.found(arm, measure)
                rows.append(
                    {
                        "x": int(measure.removeprefix("best_of_")),
                        "y": found.estimate,
                        "low": found.low,
                        "high": found.high,
                        "series": series,
                    }
                )
        return Panel(
            id="best-of-n",
            kind="lines",
            title="Best of n: true quality of the chosen answer",
            caption="Expected over all subsets of the answers; n = 1 is a random one.",
            rows=tuple(rows),
            x_title="answers to choose from",
            y_title="true quality",
            x_scale="log",
        )

    def _best_measures(self, arm: str) -> list[str]:
        rows = read_rows(self.examinations[f"{arm}@{self.config.seeds[0]}"] / "items.jsonl")
        found = dict.fromkeys(row["measure"] for row in rows if row["measure"].startswith("best_of_"))
        return [name for name in found if name != "best_of_n"]

    def critic_quality(self) -> Panel:
        """How good the critics are, measured apart from the reward models; beside those models' accuracy."""
        from paribus.evaluation.items import read_item_rows

        rows = []
        for name in self.config.critics:
            folder = self.critiques[name]
            found = read_item_rows(folder / QUALITY)
            if not found:
                continue
            by = {row.measure: row.interval for row in summaries(found, by="nothing")}
            rows.append(
                {
                    "critic": name,
                    "identity": json.loads((folder / "critic.json").read_text())["identity"],
                    "claims that are true": shown(by.get("claim_accuracy")),
                    "targets spoken of": shown(by.get("claim_recall")),
                    "a reader of critiques prefers rightly": shown(by.get("reading_accuracy")),
                    "reward model's accuracy": shown(self.found(self.config.by_critic[name])),
                }
            )
        return Panel(
            id="critic-quality",
            kind="table",
            title="How good the critics are, measured apart from the reward models",
            caption=self._relation(rows),
            rows=tuple(rows),
            columns=tuple(rows[0]) if rows else (),
        )

    def _relation(self, rows: "list[dict[str, Any]]") -> str:
        """How critics' quality and the accuracy of reward models that read them go together."""
        from paribus.errors import DataError
        from paribus.evaluation.benchmark_quality import rank_correlation

        known = [row for row in rows if row["claims that are true"] != UNKNOWN]
        quality = {row["critic"]: _first(row["claims that are true"]) for row in known}
        accuracy = {row["critic"]: _first(row["reward model's accuracy"]) for row in known}
        told = "A target is spoken of whether rightly or not."
        try:
            found = rank_correlation(quality, accuracy)
        except DataError:
            return told
        return f"{told} Spearman's correlation of true claims and accuracy over {len(known)} critics: {found:.2f}."

    def benchmark(self) -> list[Panel]:
        """RewardBench's section scores, where that is the test."""
        if self.config.tests_form != "rewardbench":
            return []
        from paribus.evaluation.reward_bench import reward_bench

        rows = []
        for arm in dict.fromkeys((self.config.bare, *self.config.critic_arms.values())):
            scores = [
                {
                    row.section: row.score.estimate
                    for row in reward_bench(outcomes, by_language=False, resamples=10).sections
                }
                for outcomes in self.outcomes(arm)
            ]
            rows.append({"arm": arm} | {section: fmean(score[section] for score in scores) for section in scores[0]})
        return [
            Panel(
                id="rewardbench",
                kind="table",
                title="RewardBench: section scores",
                caption="Mean over seeds; a tie is a loss; maths weighs as much as code.",
                rows=tuple(rows),
                columns=tuple(rows[0]),
            )
        ]

    def cut(self) -> Panel:
        """Inputs that had to be shortened; a critique never is."""
        rows = []
        for arm in (name for name in self.config.arms if name not in self.config.judges):
            found = json.loads((self.examinations[f"{arm}@{self.config.seeds[0]}"] / CUT).read_text())
            rows.append(
                {"arm": arm, "pairs": found["rows"], "shortened": found["share"], "longest, tokens": found["longest"]}
            )
        return Panel(
            id="cut",
            kind="table",
            title="What did not fit",
            caption="Of the test. Too long inputs lose the head of their prompt first, then the middle of the answer.",
            rows=tuple(rows),
            columns=tuple(rows[0]),
        )

    def samples(self) -> Panel:
        """The first test answers of each language, with what every critic writes of them."""
        written = {
            name: {row.completion_id: row.text for row in read_critiques(folder)}
            for name, folder in self.critiques.items()
        }
        rows: list[dict[str, Any]] = []
        counts: dict[str, int] = {}
        for prompt, answer in read_answers(self.data):
            if not answer.id.startswith(TESTS) or counts.get(prompt.language, 0) >= SHOWN:
                continue
            counts[prompt.language] = counts.get(prompt.language, 0) + 1
            shown = {"language": prompt.language, "prompt": f"{prompt.text}\n\n{answer.text}", "correct": None}
            rows += [
                {**shown, "arm": name, "text": texts.get(answer.id, ""), "note": ""} for name, texts in written.items()
            ]
        return Panel(
            id="samples",
            kind="samples",
            title="What critics write",
            caption="Requests with an answer, the first of each language, not picked; then each critic's text.",
            rows=tuple(rows),
        )


def _first(text: str) -> float:
    """The estimate of a shown interval."""
    return float(text.split()[0])
