"""The commands for single parts, on a user's own files and models."""

from typing import Any

import typer

from paribus.cli import (
    parts_agreement,
    parts_arbitrage,
    parts_critique,
    parts_generation,
    parts_judging,
    parts_merging,
    parts_pretraining,
    parts_prompt_sets,
    parts_ranking,
    parts_reward_evaluation,
    parts_training,
    parts_upcycling,
    parts_winrate,
)

COMMANDS: tuple[tuple[Any, str], ...] = (
    (parts_pretraining.pretrain, "Train a model on plain text of several domains."),
    (parts_training.sft, "Fine-tune a model on conversations."),
    (parts_training.dpo, "Teach a model preferences, from pairs."),
    (parts_training.reward, "Train a reward model on pairs."),
    (parts_generation.generate, "Let a model answer prompts."),
    (parts_arbitrage.arbitrage, "Route prompts among teachers."),
    (parts_merging.merge, "Merge models of one shape."),
    (parts_upcycling.upcycle, "Make one mixture of dense models."),
    (parts_upcycling.export, "Write a mixture as a class of transformers."),
    (parts_reward_evaluation.evaluate_reward, "Measure a reward model or a judge on pairs."),
    (parts_critique.critique, "Let a critic write about answers."),
    (parts_judging.judge, "Let a judge compare two models' answers."),
    (parts_agreement.agree, "How far several judges agree, from their verdicts."),
    (parts_winrate.winrate, "Win rates by language, from verdicts."),
    (parts_ranking.rank, "Rank many models, from verdicts."),
    (parts_prompt_sets.m_arena_hard, "Write m-ArenaHard as prompts."),
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command, summary in COMMANDS:
        app.command(short_help=summary)(command)
