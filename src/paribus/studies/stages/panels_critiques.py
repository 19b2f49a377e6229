"""The stage that turns what reward models with and without critiques did into the charts and tables of a report."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.lab import Panel, stage
from paribus.studies.stages.outcomes_critiques import ACCURACY, CritiqueOutcomes, CritiquePanelsConfig
from paribus.studies.stages.panels import pooled, summaries, write_panels
from paribus.studies.stages.panels_critics import CriticCharts
from paribus.studies.stages.rows import read_rows

if TYPE_CHECKING:
    from paribus.evaluation.data_efficiency import Curve


@stage(version="1")
def critique_panels(
    config: CritiquePanelsConfig, examinations: dict[str, Path], critiques: dict[str, Path], data: Path, *, out: Path
) -> None:
    """Write ``panels.jsonl``. Examinations are keyed ``arm@seed``, critiques by critic."""
    charts = Charts(config, examinations, critiques, data)
    critics = CriticCharts(config, examinations, critiques, data)
    panels = [
        charts.by_size(),
        charts.worth(),
        charts.by_critic(),
        charts.crossed(),
        charts.controls(),
        charts.by_group(),
        charts.by_language(),
        *critics.benchmark(),
        critics.length_bias(),
        critics.edits(),
        critics.best(),
        critics.critic_quality(),
        critics.cut(),
        critics.samples(),
    ]
    write_panels(out, [panel for panel in panels if panel.rows])


class Charts(CritiqueOutcomes):
    """Accuracy by pairs, critic and base, and what is read."""

    def by_size(self) -> Panel:
        """Accuracy over numbers of training pairs."""
        rows = [
            {"x": size, "y": found.estimate, "low": found.low, "high": found.high, "series": series}
            for series, names in self._series().items()
            for size in self.config.sizes
            for found in [self.found(names[str(size)])]
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
        bare = self.found(self.config.bare).estimate
        named = {"none": self.config.bare} | self.config.critic_arms
        rows = [{"label": name, **self.row(arm), "reference": bare} for name, arm in named.items()]
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
        arms = {"weak": self.config.bases["weak"], "strong": self.config.bare, "tuned": self.config.bases["tuned"]}
        for base, bare in arms.items():
            rows.append(self._cell("none", base, bare))
            for name in self.config.crossed_critics:
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
        return {"x": x, "y": y, **self.row(arm)}

    def controls(self) -> Panel:
        """What is read in place of critiques; and the generative judges."""
        named = {"no critiques": self.config.bare, "critiques": self.config.main}
        named |= {name.replace("_", " "): name for name in (*self.config.controls, *self.config.judges)}
        rows = [{"label": label, **self.row(arm), "reference": 0.5} for label, arm in named.items()]
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
        for arm in dict.fromkeys((self.config.bare, *self.config.critic_arms.values())):
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
