"""Text metrics: exact match after Unicode normalisation, chrF++ and BLEU by sacrebleu (offline tokenizers only)."""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from paribus.errors import ConfigError, DataError

# A learned metric (xCOMET and the like) plugs in wherever sentence scores do: predictions and references in, one float
# each out.
SentenceMetric = Callable[[Sequence[str], Sequence[str]], list[float]]

# sacrebleu's other tokenizers download a model at first use or need a morphological analyser.
BleuTokenizer = Literal["13a", "intl", "zh", "char", "none"]
_UNSPACED = {"zh": "zh", "ja": "char", "th": "char", "km": "char", "lo": "char", "my": "char"}


def normalise(text: str, *, casefold: bool = False) -> str:
    """NFC, decimal digits of every script as Western digits, whitespace runs as one space, ends stripped.

    Nothing else is forgiven: punctuation, diacritics and (without ``casefold``) capitals still count.
    """
    composed = unicodedata.normalize("NFC", text)
    western = "".join(_western(char) for char in composed)
    spaced = " ".join(western.split())
    return unicodedata.normalize("NFC", spaced.casefold()) if casefold else spaced


def _western(char: str) -> str:
    value = unicodedata.decimal(char, None)
    return char if value is None else str(value)


def exact_match(prediction: str, references: str | Sequence[str], *, casefold: bool = False) -> bool:
    """Whether ``prediction`` equals the reference, or any of several, after ``normalise``."""
    accepted = [references] if isinstance(references, str) else references
    if not accepted:
        raise DataError("Exact match got no reference; give at least one accepted answer.")
    return normalise(prediction, casefold=casefold) in {normalise(text, casefold=casefold) for text in accepted}


def chrf(predictions: Sequence[str], references: Sequence[str], *, word_order: int = 2) -> float:
    """Corpus chrF++ in 0..100 (``word_order=0`` gives plain chrF): n-grams are pooled over all sentences first."""
    from sacrebleu.metrics import CHRF

    _check_paired(predictions, references)
    return float(CHRF(word_order=word_order).corpus_score(list(predictions), [list(references)]).score)


def sentence_chrf(predictions: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF++ of each sentence, 0..100. Their mean is not the corpus score, but has item rows and so an interval."""
    from sacrebleu.metrics import CHRF

    _check_paired(predictions, references)
    metric = CHRF(word_order=2)
    return [float(metric.sentence_score(p, [r]).score) for p, r in zip(predictions, references, strict=True)]


def bleu(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    language: str = "",
    tokenizer: BleuTokenizer | None = None,
) -> float:
    """Corpus BLEU in 0..100. ``tokenizer=None`` takes ``zh`` for Chinese, ``char`` for other scripts without spaces,
    and ``13a`` elsewhere; scores under different tokenizers do not compare.
    """
    from sacrebleu.metrics import BLEU

    _check_paired(predictions, references)
    chosen = tokenizer or _UNSPACED.get(language, "13a")
    if chosen not in get_args(BleuTokenizer):
        raise ConfigError(
            f"The BLEU tokenizer {chosen!r} is not one of {', '.join(get_args(BleuTokenizer))}; the others download a "
            "model or need an analyser. Use chrF++ where words are not spaced."
        )
    return float(BLEU(tokenize=chosen).corpus_score(list(predictions), [list(references)]).score)


def _check_paired(predictions: Sequence[str], references: Sequence[str]) -> None:
    if isinstance(predictions, str) or isinstance(references, str):
        raise DataError("Corpus metrics take lists of sentences, not one string; wrap it in a list.")
    if not predictions or len(predictions) != len(references):
        raise DataError(
            f"There are {len(predictions)} predictions and {len(references)} references; give one reference "
            "for each, at least one pair."
        )
