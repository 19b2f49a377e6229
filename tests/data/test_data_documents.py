"""Documents become rows in which every token is learned once; domains give their shares of the tokens."""

import copy
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.data.chat import Encoded
from paribus.data.documents import boundary_ids, cut, encode_documents, load_documents, mix_documents
from paribus.data.packing import IGNORE, pack
from paribus.errors import ConfigError, DataError
from paribus.records import Document, ReadReport

TEXTS = ["The sun rises.", "Сегодня понедельник.", "今天 <BOS_TOKEN> 3"]


def row(*tokens: int) -> Encoded:
    return Encoded(np.asarray(tokens, np.int32), np.arange(len(tokens)) > 0)


# ---- Encoding --------------------------------------------------------------------------------------------------------


def test_a_row_is_bos_text_eos_and_all_but_the_first_is_learned(tokenizer):
    for text, encoded in zip(TEXTS, encode_documents(tokenizer, TEXTS), strict=True):
        ids = encoded.input_ids.tolist()
        assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
        assert tokenizer.decode(ids[1:-1]) == text
        assert encoded.completion_mask.tolist() == [False] + [True] * (len(ids) - 1)


def test_special_tokens_written_in_a_text_are_text(tokenizer):
    ids = encode_documents(tokenizer, [TEXTS[2]])[0].input_ids[1:-1]
    assert not set(ids.tolist()) & set(tokenizer.all_special_ids)


def test_without_bos_a_document_opens_with_eos_and_without_eos_it_is_refused(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.bos_token = None
    assert boundary_ids(other) == (tokenizer.eos_token_id,) * 2
    other.eos_token = None
    with pytest.raises(DataError, match=r"no end-of-sequence token; set tokenizer\.eos_token"):
        encode_documents(other, TEXTS)


def test_an_empty_text_is_refused_by_its_place(tokenizer):
    with pytest.raises(DataError, match="Text 1 of 2 is empty"):
        encode_documents(tokenizer, ["a", ""])
    assert encode_documents(tokenizer, []) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(2, 20))
def test_cutting_keeps_every_target_with_the_token_before_it_and_adds_none(size, length):
    parts = cut(row(*range(100, 100 + size)), length)
    pairs = [
        (int(part.input_ids[at - 1]), int(part.input_ids[at]))
        for part in parts
        for at in np.flatnonzero(part.completion_mask)
    ]
    assert pairs == [(token - 1, token) for token in range(101, 100 + size)]
    sizes = [len(part) for part in parts]
    assert max(sizes) <= length and max(sizes) - min(sizes) <= 1
    assert len(parts) == max(1, -(-(size - 1) // (length - 1)))


def test_cutting_keeps_a_mask_as_it_was():
    masked = Encoded(np.arange(7, dtype=np.int32), np.array([0, 0, 1, 1, 0, 1, 1], bool))
    learned = [int(part.input_ids[at]) for part in cut(masked, 3) for at in np.flatnonzero(part.completion_mask)]
    assert learned == [2, 3, 5, 6]


def test_a_length_without_room_is_refused():
    with pytest.raises(ConfigError, match="length=1 leaves no room"):
        cut(row(1, 2, 3), 1)


def test_packed_parts_teach_every_token_of_the_documents(tokenizer):
    whole = encode_documents(tokenizer, TEXTS)
    packed = pack(encode_documents(tokenizer, TEXTS, length=8), 8)
    assert sorted(packed.labels[packed.labels != IGNORE]) == sorted(
        token for encoded in whole for token in encoded.input_ids[1:].tolist()
    )


# ---- Mixing ----------------------------------------------------------------------------------------------------------


def source(first: int, sizes: list[int]) -> list[Encoded]:
    """Rows whose tokens all carry the row's own number."""
    return [row(*[first + place] * size) for place, size in enumerate(sizes)]


SOURCES = {"general": source(0, [5, 9, 7] * 40), "law": source(1000, [20, 30] * 30), "math": source(2000, [4] * 200)}


def owners(rows: list[Encoded]) -> list[int]:
    return [int(encoded.input_ids[0]) for encoded in rows]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("shares", [{"law": 0.9, "general": 0.1}, {"general": 0.3, "law": 0.3, "math": 0.4}])
def test_shares_are_of_tokens_and_no_row_is_given_twice(shares, seed):
    rows, account = mix_documents(SOURCES, shares, tokens=1500, seed=seed)
    assert len(set(owners(rows))) == len(rows)
    for name, share in account.items():
        longest = max(map(len, SOURCES[name]))
        assert abs(share.tokens - shares[name] * 1500) <= longest / 2
        assert share.wanted == shares[name] and 0 < share.epochs <= 1
    assert sum(share.tokens for share in account.values()) == sum(map(len, rows))
    assert sum(share.share for share in account.values()) == pytest.approx(1)
    assert sum(share.rows for share in account.values()) == len(rows)


def test_without_a_number_the_scarcest_domain_is_used_up():
    rows, account = mix_documents(SOURCES, {"math": 0.8, "law": 0.2})
    assert account["math"].epochs == 1 and account["math"].rows == 200
    assert account["law"].tokens == pytest.approx(200, abs=15)
    assert len(rows) == account["math"].rows + account["law"].rows


def test_the_same_call_gives_the_same_rows_and_another_seed_others():
    shares = {"law": 0.5, "general": 0.5}
    first, again, other = (owners(mix_documents(SOURCES, shares, tokens=600, seed=seed)[0]) for seed in (3, 3, 4))
    assert first == again != other
    assert sorted(first) != sorted(other)


def test_a_domain_gives_the_same_rows_first_whatever_else_is_in_the_mixture():
    small = mix_documents(SOURCES, {"law": 0.2, "general": 0.8}, tokens=600)[0]
    large = mix_documents(SOURCES, {"law": 0.5, "math": 0.5}, tokens=1000)[0]
    law = [{owner for owner in owners(rows) if 1000 <= owner < 2000} for rows in (small, large)]
    assert law[0] and law[0] < law[1]


def test_rows_of_domains_are_mixed_up():
    names = [owner // 1000 for owner in owners(mix_documents(SOURCES, {"law": 0.5, "math": 0.5}, tokens=1000)[0])]
    changes = sum(one != another for one, another in pairwise(names))
    assert changes > 10


def test_repeating_passes_over_a_domain_whole_before_a_row_comes_again():
    rows, account = mix_documents(SOURCES, {"math": 1.0}, tokens=2000, repeat=True)
    counts = np.bincount(np.asarray(owners(rows)) - 2000, minlength=200)
    assert account["math"].epochs == 2.5 and set(counts) == {2, 3}
    with pytest.raises(DataError, match=r"'math' has 800 tokens, and 2000 are asked .* repeat=True"):
        mix_documents(SOURCES, {"math": 1.0}, tokens=2000)


@pytest.mark.parametrize(
    ("shares", "error", "match"),
    [
        ({"law": 0.5, "general": 0.6}, ConfigError, "add to 1"),
        ({"law": 1.5, "general": -0.5}, ConfigError, "from 0 up"),
        ({"poems": 1.0}, ConfigError, "no documents of the domain 'poems'; there are general, law, math"),
        ({"law": 0.999, "math": 0.001}, DataError, "'math' is 1 tokens, less than half a row"),
    ],
)
def test_shares_that_cannot_be_met_are_refused(shares, error, match):
    with pytest.raises(error, match=match):
        mix_documents(SOURCES, shares, tokens=1000)


def test_a_domain_without_rows_is_refused():
    with pytest.raises(DataError, match="'law' has no tokens"):
        mix_documents({**SOURCES, "law": []}, {"law": 0.5, "math": 0.5})
    assert mix_documents({**SOURCES, "law": []}, {"law": 0.0, "math": 1.0})[1].keys() == {"math"}


# ---- Loading ---------------------------------------------------------------------------------------------------------


def write(path, rows):
    path.write_text("".join(json.dumps(line) + "\n" for line in rows))
    return path


def test_text_columns_become_documents_of_the_domain_named(tmp_path):
    path = write(
        tmp_path / "a.jsonl", [{"text": "one", "stars": 3}, {"text": "two", "domain": "law", "language": "es"}]
    )
    first, second = load_documents(path, domain="code", language="en")
    assert first == Document(id="a.jsonl:1", domain="code", language="en", text="one", meta={"stars": 3})
    assert (second.domain, second.language) == ("law", "es")


def test_a_content_column_does_as_well_and_text_comes_first(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"content": "x = 1", "id": 7}])
    assert load_documents(path, domain="code", language="en")[0].text == "x = 1"
    path = write(tmp_path / "b.jsonl", [{"content": "x = 1", "text": "y = 2"}])
    assert load_documents(path, domain="code", language="en")[0].text == "y = 2"


def test_rows_without_a_domain_or_a_text_are_bad_rows(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"text": "one"}])
    with pytest.raises(DataError, match=r"a\.jsonl.*'domain'"):
        load_documents(path, language="en")
    path = write(tmp_path / "b.jsonl", [{"text": "one"}, {"text": "  "}])
    report = ReadReport()
    kept = load_documents(path, domain="law", language="en", on_bad_row="skip", report=report)
    assert len(kept) == 1 and report.skipped == 1


def test_our_own_documents_come_back(tmp_path):
    from paribus.records import write_records

    rows = [Document(id=f"d{n}", domain="math", language="hi", text=f"{n} = {n}", meta={"n": n}) for n in range(3)]
    write_records(tmp_path / "rows.parquet", rows)
    assert load_documents(tmp_path / "rows.parquet") == rows
