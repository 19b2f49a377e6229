"""Exact match and sacrebleu metrics."""

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import ConfigError, DataError
from paribus.evaluation.metrics import bleu, chrf, exact_match, normalise, sentence_chrf

HYPOTHESES = ["the cat sat on the mat", "completely different words", "le chat est noir"]
REFERENCES = ["the cat is on the mat", "nothing in common here", "le chat est noir"]


@pytest.mark.parametrize(
    ("prediction", "reference", "equal"),
    [
        ("١٢٣", "123", True),
        ("४२", "42", True),
        ("۷", "7", True),
        ("cafe\u0301", "café", True),
        ("  a \n b ", "a b", True),
        ("１２", "12", True),
        ("Café", "café", False),
        ("a.", "a", False),
        ("²", "2", False),
        ("", "a", False),
    ],
)
def test_exact_match(prediction: str, reference: str, equal: bool) -> None:
    assert exact_match(prediction, reference) is equal
    assert exact_match(reference, prediction) is equal


def test_casefold_and_several_references() -> None:
    assert exact_match("Straße", "STRASSE", casefold=True)
    assert exact_match("b", ["a", "b"])
    with pytest.raises(DataError, match="no reference"):
        exact_match("b", [])


@given(st.text())
def test_normal_form_is_stable(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert exact_match(text, once)


def test_chrf_is_sacrebleus() -> None:
    assert chrf(HYPOTHESES, REFERENCES) == sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES], word_order=2).score
    assert chrf(HYPOTHESES, REFERENCES, word_order=0) == sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score
    expected = [
        sacrebleu.sentence_chrf(h, [r], word_order=2).score for h, r in zip(HYPOTHESES, REFERENCES, strict=True)
    ]
    assert sentence_chrf(HYPOTHESES, REFERENCES) == expected
    assert sentence_chrf(["same words"], ["same words"]) == [pytest.approx(100.0)]


def test_chrf_by_hand_on_one_word() -> None:
    """'ab' against 'ac': one of two letters, no bigram, no word; F over the orders that exist (1 and 2 letters, 1
    word).
    """
    assert sentence_chrf(["ab"], ["ac"])[0] == pytest.approx(100 * 0.5 / 3, abs=0.01)


def test_bleu_is_sacrebleus_with_the_languages_tokenizer() -> None:
    assert bleu(HYPOTHESES, REFERENCES) == sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES], tokenize="13a").score
    chinese = ["今天天气很好", "我喜欢学习语言"], ["今天天气不好", "我喜欢学习语言"]
    assert bleu(*chinese, language="zh") == sacrebleu.corpus_bleu(chinese[0], [chinese[1]], tokenize="zh").score
    assert bleu(*chinese, language="ja") == sacrebleu.corpus_bleu(chinese[0], [chinese[1]], tokenize="char").score
    assert bleu(*chinese, language="zh") > bleu(*chinese, language="en")


@pytest.mark.parametrize("tokenizer", ["flores200", "spm", "ja-mecab"])
def test_tokenizers_that_reach_out_are_refused(tokenizer: str) -> None:
    with pytest.raises(ConfigError, match=tokenizer):
        bleu(HYPOTHESES, REFERENCES, tokenizer=tokenizer)


def test_unpaired_lists_are_refused() -> None:
    with pytest.raises(DataError, match="3 predictions and 2 references"):
        chrf(HYPOTHESES, REFERENCES[:2])
    with pytest.raises(DataError, match="one string"):
        chrf("text", REFERENCES)
    with pytest.raises(DataError, match="0 predictions"):
        bleu([], [])


def test_better_text_scores_higher() -> None:
    rng = np.random.default_rng(0)
    words = ["a", "b", "c", "d", "e", "f", "g", "h"]
    references = [" ".join(rng.choice(words, 8)) for _ in range(20)]
    near = [r[:-1] + "z" for r in references]
    far = [" ".join(rng.choice(words, 8)) for _ in range(20)]
    assert chrf(references, references) > chrf(near, references) > chrf(far, references)
