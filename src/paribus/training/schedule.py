"""Learning rate by step; imports no torch."""

import math

from paribus.training.settings import TrainSettings


def rate_at(step: int, settings: TrainSettings) -> float:
    """Learning rate of step ``step`` (from 0) as a share of the peak: linear warm-up, then the schedule.

    The warm-up's last step has the full rate; as in transformers, the floor would be reached one step after the end.
    """
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    done = min(1.0, (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps))
    falling = 1 - done if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return settings.min_learning_rate_ratio + (1 - settings.min_learning_rate_ratio) * falling
