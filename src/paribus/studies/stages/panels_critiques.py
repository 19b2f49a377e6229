"""The stage that turns what reward models with and without critiques did into the charts and tables of a report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.lab import Panel, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.critiques import QUALITY, read_critiques
from paribus.studies.stages.graded import TESTS, read_answers, read_pairs
from paribus.studies.stages.panels import pooled, summaries, write_panels
from paribus.studies.stages.readers import CUT, EDITS, SCORES
from paribus.studies.stages.rows import read_rows

if TYPE_CHECKING:
    from paribus.evaluation.data_efficiency import Curve

ACCURACY = "pair_accuracy"
SHOWN = 3
"""Sample answers with critiques."""


class CritiquePanelsConfig(StageConfig):
    """Names of arms: all of them, and by what they are: by number of pairs, critic, base, control."""

    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    sizes: tuple[int, ...]
    size: int
    critics: tuple[str, ...]
    critic: str
    plain: dict[str, str]
    reading: dict[str, str]
    by_critic: dict[str, str]
    bases: dict[str, str]
    crossed: dict[str, str]
    controls: tuple[str, ...]
    judges: tuple[str, ...]

    @property
    def bare(self) -> str:
        """The arm without critiques at the study's number of pairs."""
        return self.plain[str(self.size)]

    @property
    def main(self) -> str:
        """The arm with the study's critic at that number."""
        return self.reading[str(self.size)]


@stage(version="1")
def critique_panels(
    config: CritiquePanelsConfig, examinations: dict[str, Path], critiques: dict[str, Path], data: Path, *, out: Path
) -> None:
    """Write ``panels.jsonl``. Examinations are keyed ``arm@seed``, critiques by critic."""
    charts = Charts(config, examinations, critiques, data)
    panels = [
        charts.by_size(),
        charts.worth(),
        charts.by_critic(),
        charts.crossed(),
        charts.controls(),
        charts.by_group(),
        charts.by_language(),
        charts.length_bias(),
        charts.edits(),
        charts.best(),
        charts.critic_quality(),
        charts.cut(),
        charts.samples(),
    ]
    write_panels(out, [panel for panel in panels if panel.rows])


class Charts:
    """Accuracy by pairs, critic and base; what is read; what follows."""

    def __init__(
        self, config: CritiquePanelsConfig, examinations: Mapping[str, Path], critiques: Mapping[str, Path], data: Path
    ) -> None:
        self.config, self.examinations, self.critiques, self.data = config, examinations, critiques, data
        self.tests = read_pairs(data, TESTS)

    def _found(self, arm: str, measure: str = ACCURACY) -> Any:
        rows = pooled(self.config.seeds, self.examinations, arm, [measure])
        return summaries(rows, by="nothing")[0].interval if rows else None

    def _row(self, arm: str, measure: str = ACCURACY) -> dict[str, Any]:
        found = self._found(arm, measure)
        return {"value": found.estimate, "low": found.low, "high": found.high}

    # ---- Pairs ------------------------------------------------------------------------------------------------------

    def by_size(self) -> Panel:
        """Accuracy over numbers of training pairs."""
        rows = [
            {"x": size, "y": found.estimate, "low": found.low, "high": found.high, "series": series}
            for series, names in self._series().items()
            for size in self.config.sizes
            for found in [self._found(names[str(size)])]
        ]
        return Panel(
            id="sizes",
            kind="lines",
            title="Accuracy on held-out pairs, by number of training pairs",
            caption="The same nested pairs, order, steps and base; intervals resample questions, over all seeds.",
            rows=tuple(rows),
            x_title="training pairs",
            y_title="pairs ordered rightly",
            x_scale="log",
        )

    def _series(self) -> dict[str, dict[str, str]]:
        return {"no critiques": self.config.plain, f"critiques ({self.config.critic})": self.config.reading}

    def worth(self) -> Panel:
        """The equivalence ratio at every number of pairs with critiques."""
        from paribus.evaluation.data_efficiency import data_ratios
        from paribus.evaluation.reward_models import cluster_of_pair

        plain, reading = (self._curve(names) for names in self._series().values())
        clusters = [cluster_of_pair(pair) for pair in sorted(self.tests, key=lambda pair: pair.id)]
        rows = [
            {
                "pairs with critiques": ratio.size,
                "accuracy": ratio.accuracy,
                "one is worth": str(ratio.ratio),
                "from": str(ratio.low),
                "to": str(ratio.high),
                "plain curve too low": ratio.beyond,
            }
            for ratio in data_ratios(plain, reading, clusters, resamples=500)
        ]
        return Panel(
            id="worth",
            kind="table",
            title="How many plain pairs one pair with critiques is worth",
            caption=(
                "Plain pairs that give the same accuracy (monotone curve, interpolated on their logarithm), divided by "
                "the pairs with critiques. > where no number of plain pairs tried was enough, < where the fewest were."
            ),
            rows=tuple(rows),
            columns=tuple(rows[0]),
        )

    def _curve(self, names: Mapping[str, str]) -> "Curve":
        from paribus.evaluation.data_efficiency import Curve

        return Curve.of(
            self.config.sizes,
            [[self._values(f"{names[str(size)]}@{seed}") for seed in self.config.seeds] for size in self.config.sizes],
        )

    def _values(self, key: str) -> list[float]:
        rows = read_rows(self.examinations[key] / "items.jsonl")
        return [row["value"] for row in sorted(rows, key=lambda row: row["item"]) if row["measure"] == ACCURACY]

    # ---- Critics, bases, controls -----------------------------------------------------------------------------------

    def by_critic(self) -> Panel:
        """Accuracy by critic, beside none."""
        bare = self._found(self.config.bare).estimate
        named = {"none": self.config.bare} | self.config.by_critic
        rows = [{"label": name, **self._row(arm), "reference": bare} for name, arm in named.items()]
        return Panel(
            id="critics",
            kind="intervals",
            title="Accuracy by critic",
            caption=f"{self.config.size} training pairs. The line is the reward model without critiques.",
            rows=tuple(rows),
            x_title="pairs ordered rightly",
        )

    def crossed(self) -> Panel:
        """Bases by critics."""
        rows = []
        for base, bare in {"strong": self.config.bare, **self.config.bases}.items():
            rows.append(self._cell("none", base, bare))
            for name in dict.fromkeys(key.partition("/")[2] for key in self.config.crossed):
                arm = self.config.by_critic[name] if base == "strong" else self.config.crossed[f"{base}/{name}"]
                rows.append(self._cell(name, base, arm))
        return Panel(
            id="bases",
            kind="heatmap",
            title="Accuracy by base and critic",
            caption=f"{self.config.size} training pairs.",
            rows=tuple(rows),
            x_title="critic",
            y_title="base",
            better="more",
        )

    def _cell(self, x: str, y: str, arm: str) -> dict[str, Any]:
        return {"x": x, "y": y, **self._row(arm)}

    def controls(self) -> Panel:
        """What is read in place of critiques; and the generative judges."""
        named = {"no critiques": self.config.bare, "critiques": self.config.main}
        named |= {name.replace("_", " "): name for name in (*self.config.controls, *self.config.judges)}
        rows = [{"label": label, **self._row(arm), "reference": 0.5} for label, arm in named.items()]
        return Panel(
            id="controls",
            kind="intervals",
            title="What is read: controls, and generative judges",
            caption=(
                "Shuffled: critiques of other answers. Swapped: exchanged in the test only. Oracle: critiques that "
                "state the label. Judges compare both answers in both orders; an unreadable verdict counts a half."
            ),
            rows=tuple(rows),
            x_title="pairs ordered rightly",
        )

    def by_group(self) -> Panel:
        """Accuracy by what tells the two answers apart (or by the test set's own subset)."""
        return self._split("group", "By what decides", "what decides between the answers")

    def by_language(self) -> Panel:
        """Accuracy by language."""
        return self._split("language", "By language", "language")

    def _split(self, by: str, title: str, x_title: str) -> Panel:
        rows = []
        for arm in dict.fromkeys((self.config.bare, *self.config.by_critic.values())):
            found = pooled(self.config.seeds, self.examinations, arm, [ACCURACY])
            for row in summaries(found, by="language" if by == "language" else "task"):
                name = row.language if by == "language" else row.group
                if name:
                    cell = {"value": row.interval.estimate, "low": row.interval.low, "high": row.interval.high}
                    rows.append({"x": name, "y": arm, **cell})
        return Panel(
            id=f"by-{by}",
            kind="heatmap",
            title=f"{title}: pairs ordered rightly",
            caption=f"{self.config.size} training pairs, all seeds.",
            rows=tuple(rows),
            x_title=x_title,
            y_title="arm",
            better="more",
        )

    # ---- What follows -----------------------------------------------------------------------------------------------

    def length_bias(self) -> Panel:
        """Accuracy where the preferred answer is longer, and where it is shorter."""
        import numpy as np

        from paribus.evaluation.length_bias import length_bias
        from paribus.evaluation.reward_models import ScoredPairs

        rows = []
        for arm in dict.fromkeys((self.config.bare, *self.config.by_critic.values())):
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
                    "preferred is longer": _shown(found.longer),
                    "preferred is shorter": _shown(found.shorter),
                    "difference": _shown(found.gap),
                    "margin and length (Spearman)": _shown(found.spearman),
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
        for arm in dict.fromkeys((*self.config.by_critic.values(), *self.config.controls)):
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
                        "reward follows": _shown(found.right),
                        "change": _shown(found.change, digits=2),
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
            f"critiques ({name})": arm for name, arm in self.config.by_critic.items()
        }
        rows = []
        for series, arm in named.items():
            for measure in self._best_measures(arm):
                found = self._found(arm, measure)
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
        for name, folder in self.critiques.items():
            found = read_item_rows(folder / QUALITY)
            if not found:
                continue
            by = {row.measure: row.interval for row in summaries(found, by="nothing")}
            rows.append(
                {
                    "critic": name,
                    "identity": json.loads((folder / "critic.json").read_text())["identity"],
                    "claims that are true": _shown(by.get("claim_accuracy")),
                    "true claims made": _shown(by.get("claim_recall")),
                    "a reader of critiques prefers rightly": _shown(by.get("reading_accuracy")),
                    "reward model's accuracy": _shown(self._found(self.config.by_critic[name])),
                }
            )
        return Panel(
            id="critic-quality",
            kind="table",
            title="How good the critics are, measured apart from the reward models",
            rows=tuple(rows),
            columns=tuple(rows[0]) if rows else (),
        )

    def cut(self) -> Panel:
        """Inputs that had to be shortened; a critique never is."""
        rows = []
        for arm in dict.fromkeys((self.config.bare, *self.config.by_critic.values())):
            found = json.loads((self.examinations[f"{arm}@{self.config.seeds[0]}"] / CUT).read_text())
            rows.append(
                {"arm": arm, "pairs": found["rows"], "shortened": found["share"], "longest, tokens": found["longest"]}
            )
        return Panel(
            id="cut",
            kind="table",
            title="What did not fit",
            caption="Too long inputs lose the head of their prompt first, then the middle of the answer.",
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


def _shown(found: Any, digits: int = 3) -> str:
    if found is None:
        return "–"
    return f"{found.estimate:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"
