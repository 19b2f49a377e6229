"""Charts and tables of single runs: seeds, courses of training, attention heads, the paper's figures."""

import json
from statistics import fmean

from paribus.lab import Panel
from paribus.studies.stages.incontext import HEADS
from paribus.studies.stages.outcomes_incontext import PanelArm, PromptOutcomes, shown
from paribus.studies.stages.problems import Network


class RunCharts(PromptOutcomes):
    """Every seed, and what lies behind its accuracy."""

    def seeds(self) -> Panel:
        """Every run's outcome and learning rate."""
        rows = []
        for arm, name in self.pairs("trained"):
            late, sweep = self.late_of(arm, name), self.sweep(arm, name)
            network, problem = arm.networks[name], self.config.problems[name]
            rows.append(
                {
                    "class": name,
                    "arm": arm.name,
                    "near the best learner": self.near_best(name, late),
                    "accuracy, worst seed": min(late),
                    "accuracy, best seed": max(late),
                    "learning rate": f"{sweep['chosen']:g}",
                    "at the edge": "yes" if sweep["edge"] else "",
                    "rates tried": len(sweep["rates"]),
                    "parameters": network.parameters(problem),
                    "state, numbers": network.shape(problem).state_numbers(problem.tokens)
                    if isinstance(network, Network)
                    else None,
                }
            )
        return Panel(
            id="seeds",
            kind="table",
            title="Every seed",
            caption=(
                "Accuracy over the last quarter of the examples. Near the best learner: seeds within "
                f"{self.config.near:.0%} of it on the same prompts. A rate at the edge "
                "says that a wider sweep may do better; what was not learned was not learned within this budget."
            ),
            rows=tuple(sorted(rows, key=lambda row: list(self.config.problems).index(str(row["class"])))),
        )

    def best_of(self, name: str) -> PanelArm | None:
        """The arm of the best learner of a class, where the study has it."""
        return next((arm for arm, of in self.pairs("learner") if of == name and arm.name == "optimal"), None)

    def near_best(self, name: str, late: list[float]) -> str:
        """How many seeds come near the best learner, where there is one."""
        best = self.best_of(name)
        if best is None:
            return ""
        bar = self.late_of(best, name)[0] - self.config.near
        return f"{sum(value >= bar for value in late)} of {len(late)}"

    def beyond_best(self) -> Panel:
        """Trained models against the best learner, prompt by prompt: nothing can be above it but by chance."""
        import numpy as np

        from paribus.statistics import mean_error

        rows = []
        for arm, name in self.pairs("trained"):
            best = self.best_of(name)
            if best is None:
                continue
            whole = (self.values(one, name, "mean_accuracy").mean(0) for one in (arm, best))
            gap = mean_error(np.subtract(*whole))
            suspicious = gap.mean > 3 * gap.standard_error
            rows.append(
                {
                    "class": name,
                    "arm": arm.name,
                    "accuracy above the best learner": gap.mean,
                    "standard error": gap.standard_error,
                    "look for a leak": "YES" if suspicious else "",
                }
            )
        return Panel(
            id="beyond",
            kind="table",
            title="Beyond the best learner?",
            caption=(
                "Differences in accuracy over all positions, paired by prompt. No learner is better in expectation "
                "than the best one: three standard errors above it would mean that labels leak."
            ),
            rows=tuple(rows),
        )

    def late_of(self, arm: PanelArm, name: str) -> list[float]:
        """Accuracy over the last quarter, of each seed."""
        return [fmean(value for value in row if value == value) for row in self.values(arm, name, "late_accuracy")]

    def courses(self) -> Panel:
        """Accuracy along training."""
        return Panel(
            id="courses",
            kind="lines",
            title="Accuracy along training, over all positions of fresh prompts",
            caption="Faint: single seeds.",
            rows=tuple(self.course_rows(self.pairs("trained"), "accuracy", shown)),
            x_title="step",
            y_title="accuracy",
        )

    def beside_the_paper(self) -> Panel:
        """Accuracy at the last position beside the paper's figures, where these are known to us."""
        rows = []
        for arm, name in self.pairs("trained", "learner"):
            published = PUBLISHED.get((name, arm.name))
            if published is None:
                continue
            value, examples, read = published
            problem = self.config.problems[name]
            ours = self.mean_curve(arm, name, "plain")[-1]
            rows.append(
                {
                    "class": name,
                    "arm": arm.name,
                    "here": ours["y"],
                    "here, examples": ours["x"],
                    "here, dimensions": problem.dimensions,
                    "paper": value,
                    "paper, examples": examples,
                    "how we know": read,
                }
            )
        return Panel(
            id="paper",
            kind="table",
            title="Beside the paper",
            caption=(
                "The paper's prompts are longer and have more dimensions, its models are larger: read the order, not "
                "the numbers. Values were read off figures of the authors' slides (about 0.01 off)."
            ),
            rows=tuple(rows),
        )

    def heads(self) -> Panel:
        """The highest scores of attention heads."""
        rows = []
        for arm, name in self.pairs("trained"):
            found = [json.loads(text) for text in self.examined(arm, name, HEADS)]
            if all(found):
                best = {kind: [max(map(max, scores[kind])) for scores in found] for kind in found[0]}
                rows.append(
                    {"class": name, "arm": arm.name}
                    | {f"{kind}, best head": fmean(values) for kind, values in best.items()}
                    | {"seeds with a head above 0.5": sum(value >= 0.5 for value in best["nearest neighbour"])}
                )
        return Panel(
            id="heads",
            kind="table",
            title="What attention heads do",
            caption=(
                "Share of its attention that the best head spends on the label of the nearest earlier point, and, in "
                "repeated prompts, on the labels of earlier copies. Means over seeds."
            ),
            rows=tuple(rows),
        )


_FIGURE = "read off a figure of the authors' slides"
PUBLISHED: dict[tuple[str, str], tuple[float, int, str]] = {
    ("conjunction", "transformer"): (1.0, 40, _FIGURE),
    ("conjunction", "dss"): (0.97, 70, _FIGURE),
    ("conjunction", "averaging"): (0.65, 70, _FIGURE),
    ("conjunction", "null"): (0.70, 70, _FIGURE),
    ("halfspace", "transformer"): (0.845, 70, _FIGURE),
    ("halfspace", "averaging"): (0.82, 70, _FIGURE),
    ("halfspace", "three_neighbours"): (0.70, 70, _FIGURE),
    ("sparse_parity", "transformer"): (0.54, 150, _FIGURE),
    ("sparse_parity", "averaging"): (0.5, 150, _FIGURE),
    ("nearest_neighbour", "transformer"): (1.0, 100, _FIGURE),
    ("nearest_neighbour", "retention"): (0.91, 100, _FIGURE),
    ("nearest_neighbour", "hyena"): (0.85, 100, _FIGURE),
    ("nearest_neighbour", "dss"): (0.83, 100, _FIGURE),
    ("nearest_neighbour", "lstm"): (0.79, 100, _FIGURE),
}
"""Class and arm: accuracy, after how many examples, and how the value is known (icl-discrete, section on results)."""
