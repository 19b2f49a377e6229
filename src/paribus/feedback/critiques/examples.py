"""Training rows for a local critic: asked in a template's words, it answers with another critic's critique.

Any fine-tuning takes them (``paribus sft``, ``training``); the critic is then ``EngineCritic(LocalEngine(...),
template=...)`` with the same template.
"""

from collections.abc import Sequence

from paribus.errors import DataError
from paribus.feedback.critiques.templates import SHORT_TEMPLATE, CritiqueTemplate
from paribus.records import Completion, Critique, Example, Message, Prompt


def critic_examples(
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    critiques: Sequence[Critique],
    template: CritiqueTemplate = SHORT_TEMPLATE,
) -> list[Example]:
    """One conversation for each answer, equal ones once; ``task`` is ``"critique"``, ``source`` the critic.

    The template defaults to the short one: who is trained to write critiques need not be told how. Raises ``DataError``
    for a critique that failed or is empty, or is about another answer.
    """
    rows: dict[tuple[str, str, str], Example] = {}
    for prompt, completion, critique in zip(prompts, completions, critiques, strict=True):
        _check(prompt, completion, critique)
        rows.setdefault(
            (prompt.id, completion.text, critique.text),
            Example(
                id=f"critique/{completion.id}",
                language=prompt.language,
                messages=(
                    *template.write(prompt, completion.text),
                    Message(role="assistant", content=critique.text),
                ),
                task="critique",
                source=critique.critic,
                meta={"template": template.identity, "prompt_id": prompt.id},
            ),
        )
    return list(rows.values())


def _check(prompt: Prompt, completion: Completion, critique: Critique) -> None:
    if not (prompt.id == completion.prompt_id == critique.prompt_id and completion.id == critique.completion_id):
        raise DataError(
            f"The critique of {critique.completion_id!r} (prompt {critique.prompt_id!r}) stands beside the answer "
            f"{completion.id!r} to {prompt.id!r}; give prompts, answers and critiques in one order."
        )
    if not critique.text.strip():
        reason = critique.meta.get("error", "the critic said nothing")
        raise DataError(f"The critique of {completion.id!r} is empty ({reason}); leave it out, or ask again.")
