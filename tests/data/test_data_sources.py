"""Users' data in every form becomes the same records; what cannot be read is told by file, row, field and value."""

import json

import datasets
import pytest
from trl import extract_prompt

from paribus.data.sources import load_completions, load_examples, load_pairs, load_prompts
from paribus.errors import ConfigError, DataError
from paribus.records import (
    Completion,
    Example,
    Message,
    PreferencePair,
    Prompt,
    ReadReport,
    read_records,
    write_records,
)

USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
SYSTEM = {"role": "system", "content": "Be kind."}


def jsonl(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(messages) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in messages]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


class TestForms:
    @pytest.mark.parametrize(
        "row",
        [
            {"messages": [USER, ANSWER]},
            {"prompt": "Hi", "completion": "Hello"},
            {"prompt": [USER], "completion": [ANSWER]},
            {"prompt": "Hi", "completion": [ANSWER]},
            {"inputs": "Hi", "targets": "Hello"},
            {"messages": [{**USER, "tool_calls": None}, ANSWER]},
        ],
    )
    def test_every_form_of_an_example_says_the_same(self, tmp_path, row):
        (example,) = load_examples(jsonl(tmp_path / "a.jsonl", row), language="en")
        assert said(example.messages) == [("user", "Hi"), ("assistant", "Hello")]
        assert (example.id, example.language, example.meta) == ("a.jsonl:1", "en", {})

    @pytest.mark.parametrize(
        ("row", "meta"),
        [
            ({"messages": [SYSTEM, USER]}, {}),
            ({"messages": [SYSTEM, USER, ANSWER]}, {"completion": "Hello"}),
            ({"prompt": [SYSTEM, USER], "completion": "Hello"}, {"completion": "Hello"}),
        ],
    )
    def test_prompts_end_with_the_user_whatever_was_answered(self, tmp_path, row, meta):
        (prompt,) = load_prompts(jsonl(tmp_path / "a.jsonl", row), language="en")
        assert said(prompt.messages) == [("system", "Be kind."), ("user", "Hi")]
        assert prompt.meta == meta

    @pytest.mark.parametrize(
        "row",
        [
            {"prompt": "Hi", "chosen": "Hello", "rejected": "No"},
            {"prompt": [USER], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "No"}]},
            {"prompt": "Hi", "chosen": [USER, ANSWER], "rejected": [USER, {**ANSWER, "content": "No"}]},
            {"chosen": [USER, ANSWER], "rejected": [USER, {**ANSWER, "content": "No"}]},
            {"chosen": "Hi Hello", "rejected": "Hi No"},
        ],
    )
    def test_every_form_of_a_pair_says_the_same(self, tmp_path, row):
        (pair,) = load_pairs(jsonl(tmp_path / "a.jsonl", row), language="en")
        assert said(pair.prompt) == [("user", "Hi")]
        assert (pair.chosen, pair.rejected, pair.prompt_id) == ("Hello", "No", "a.jsonl:1")

    @pytest.mark.parametrize("answers", [("Hello", "No"), ("Hello", "Hello there"), ("same", "same")])
    def test_implicit_prompts_are_split_as_trl_splits_them(self, tmp_path, answers):
        sides = [[SYSTEM, USER, {"role": "assistant", "content": text}] for text in answers]
        row = {"chosen": sides[0], "rejected": sides[1]}
        (pair,) = load_pairs(jsonl(tmp_path / "a.jsonl", row), language="en")
        assert (pair.chosen, pair.rejected) == answers
        if answers[0] != answers[1]:  # TRL takes the whole conversation as the prompt when the sides are equal
            expected = extract_prompt(row)
            assert [{"role": role, "content": text} for role, text in said(pair.prompt)] == expected["prompt"]
            assert [{"role": "assistant", "content": pair.chosen}] == expected["chosen"]

    def test_texts_are_split_between_words(self, tmp_path):
        row = {"chosen": "Is it true or treason? true", "rejected": "Is it true or treason? treason"}
        (pair,) = load_pairs(jsonl(tmp_path / "a.jsonl", row), language="en")
        assert (pair.prompt[0].content, pair.chosen, pair.rejected) == ("Is it true or treason?", "true", "treason")

    def test_margins_are_taken_or_made_from_scores(self, tmp_path):
        pair = {"prompt": "Hi", "chosen": "a", "rejected": "b"}
        rows = [{**pair, "margin": 3}, {**pair, "score_chosen": 5, "score_rejected": 1.5}, pair]
        margins = [row.margin for row in load_pairs(jsonl(tmp_path / "a.jsonl", *rows), language="en")]
        assert margins == [3, 3.5, None]

    def test_columns_without_a_place_go_to_meta(self, tmp_path):
        row = {
            "prompt": "a",
            "completion": "b",
            "task": "qa",
            "source": "web",
            "score": 4,
            "meta": {"k": 1},
            "note": None,
        }
        (example,) = load_examples(jsonl(tmp_path / "a.jsonl", row), language="en")
        assert (example.task, example.source, example.meta) == ("qa", "web", {"k": 1, "score": 4})

    @pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "parquet"])
    def test_our_own_records_come_back_as_they_were(self, tmp_path, ending):
        messages = (Message(role="user", content="Hi"),)
        common = {"prompt_id": "p", "language": "en"}
        both = (*messages, Message(role="assistant", content="Hello"))
        cases = [
            (load_examples, Example(id="e", language="en", messages=both, task="t", source="s", meta={"a": [1]})),
            (load_prompts, Prompt(id="p", language="fa", messages=messages, meta={"answer": "Hello"})),
            (
                load_pairs,
                PreferencePair(id="x", **common, prompt=messages, chosen="a", rejected="b", margin=0.5, source="s"),
            ),
            (
                load_completions,
                Completion(id="c", **common, model="m", text="", finish="length", tokens=3, score=0.1),
            ),
        ]
        for load, record in cases:
            path = tmp_path / f"{record.id}.{ending}"
            write_records(path, [record])
            assert load(path) == [record]

    def test_an_unknown_form_lists_what_was_found_and_what_is_known(self, tmp_path):
        path = jsonl(tmp_path / "a.jsonl", {"question": "a", "response": "b"})
        with pytest.raises(DataError, match=r"columns question, response.*prompt-completion \(prompt, completion\)"):
            load_examples(path, language="en")
        with pytest.raises(DataError, match="columns question, response are of no known form"):
            load_examples(path, language="en", on_bad_row="skip")

    def test_an_ambiguous_form_has_to_be_chosen(self, tmp_path):
        path = jsonl(tmp_path / "a.jsonl", {"prompt": "Hi", "completion": "Bye", "messages": [USER, ANSWER]})
        with pytest.raises(DataError, match=r"several forms \(messages, prompt-completion\)"):
            load_examples(path, language="en")
        assert load_examples(path, language="en", form="messages")[0].answer == "Hello"
        assert load_examples(path, language="en", form="prompt-completion")[0].answer == "Bye"
        with pytest.raises(ConfigError, match="form='chat' is not one of Example rows: messages"):
            load_examples(path, language="en", form="chat")

    def test_the_form_is_found_behind_a_bad_first_row(self, tmp_path):
        path = jsonl(tmp_path / "a.jsonl", {"prompt": "a"}, {"prompt": "a", "completion": "b"})
        report = ReadReport()
        assert [row.id for row in load_examples(path, language="en", on_bad_row="skip", report=report)] == ["a.jsonl:2"]
        assert (report.read, report.skipped) == (1, 1)


class TestLanguages:
    @pytest.mark.parametrize(
        ("row", "code"),
        [
            ({"language": "fr"}, "fr"),
            ({"language": "fra"}, "fr"),
            ({"language": "arb_Arab", "language_code": "ara"}, "ar"),
            ({"language": "English", "language_code": "eng"}, "en"),
            ({"lang": "hin_Deva"}, "hi"),
            ({}, "de"),
        ],
    )
    def test_codes_of_several_kinds_become_the_registrys(self, tmp_path, row, code):
        path = jsonl(tmp_path / "a.jsonl", {"prompt": "a", "completion": "b", **row})
        assert load_examples(path, language="deu")[0].language == code

    def test_rows_without_a_language_need_one_named(self, tmp_path):
        path = jsonl(tmp_path / "a.jsonl", {"prompt": "a", "completion": "b"})
        with pytest.raises(DataError, match=r"row 1, field 'language': got nothing, expected .*pass language="):
            load_examples(path)

    @pytest.mark.parametrize("code", ["xx", "eng_Cyrl", 7])
    def test_an_unknown_language_is_a_bad_row(self, tmp_path, code):
        path = jsonl(tmp_path / "a.jsonl", {"prompt": "a", "completion": "b", "language": code})
        with pytest.raises(DataError, match=f"row 1, field 'language': got {code!r}, expected an ISO 639 code"):
            load_examples(path)

    def test_an_unknown_default_is_a_setting_to_mend(self, tmp_path):
        path = jsonl(tmp_path / "a.jsonl", {"prompt": "a", "completion": "b"})
        with pytest.raises(ConfigError, match="Unknown language code 'xx'"):
            load_examples(path, language="xx")

    def test_other_languages_are_left_out_and_not_counted_as_bad(self, tmp_path):
        rows = [{"prompt": "a", "language": code} for code in ("en", "fr", "eng", "hi")]
        report = ReadReport()
        prompts = load_prompts(jsonl(tmp_path / "a.jsonl", *rows), languages=["en", "hin"], report=report)
        assert [(row.id, row.language) for row in prompts] == [
            ("a.jsonl:1", "en"),
            ("a.jsonl:3", "en"),
            ("a.jsonl:4", "hi"),
        ]
        assert (report.read, report.skipped) == (3, 0)
        with pytest.raises(DataError, match="gives no Prompt rows: none is in ja"):
            load_prompts(tmp_path / "a.jsonl", languages=["ja"])


def prompt_set(folder, codes):
    """A data set in hub form with one configuration a language, as multilingual prompt sets have them."""
    head = ["---", "configs:"]
    for code in codes:
        rows = [{"question_id": number, "prompt": f"{code} question {number}"} for number in (11, 12)]
        jsonl(folder / code / "test.jsonl", *rows)
        head += [f"- config_name: {code}", "  data_files:", "  - split: test", f"    path: {code}/test.jsonl"]
    (folder / "README.md").write_text("\n".join([*head, "---", ""]))
    return folder


class TestPromptSets:
    def test_one_configuration_a_language(self, tmp_path):
        folder = prompt_set(tmp_path / "arena", ["ar", "en", "fr"])
        prompts = load_prompts(str(folder), languages=["en", "ar"])
        assert [(row.id, row.language, row.text) for row in prompts] == [
            ("11/ar", "ar", "ar question 11"),
            ("12/ar", "ar", "ar question 12"),
            ("11/en", "en", "en question 11"),
            ("12/en", "en", "en question 12"),
        ]
        assert {row.meta["question_id"] for row in prompts} == {"11", "12"}

    def test_a_missing_language_is_told(self, tmp_path):
        folder = prompt_set(tmp_path / "arena", ["ar", "en"])
        with pytest.raises(DataError, match="has no configuration for fr, hi; it has ar, en"):
            load_prompts(folder, languages=["en", "fr", "hi"])

    def test_a_configuration_by_name(self, tmp_path):
        folder = prompt_set(tmp_path / "arena", ["ar", "en"])
        assert {row.language for row in load_prompts(folder, config="ar", language="ar")} == {"ar"}
        with pytest.raises(DataError, match=r"Cannot read the data set .*'xx' not found"):
            load_prompts(folder, config="xx", language="ar")

    def test_a_language_column(self, tmp_path):
        rows = [{"question_id": "q1", "prompt": "a", "language": code, "category": "hard"} for code in ("en", "fr")]
        prompts = load_prompts(jsonl(tmp_path / "a.jsonl", *rows), languages=["fr"])
        assert [(row.id, row.meta) for row in prompts] == [("q1/fr", {"question_id": "q1", "category": "hard"})]


ROWS = [{"prompt": f"q{number}", "completion": f"a{number}"} for number in range(3)]


class TestPlaces:
    def test_saved_data_sets_with_and_without_splits(self, tmp_path):
        data = datasets.Dataset.from_list(ROWS)
        data.save_to_disk(str(tmp_path / "one"))
        datasets.DatasetDict(train=data, test=data.select([2])).save_to_disk(str(tmp_path / "two"))
        assert [row.id for row in load_examples(tmp_path / "one", language="en")] == ["one:1", "one:2", "one:3"]
        assert len(load_examples(tmp_path / "two", language="en")) == 3
        (example,) = load_examples(tmp_path / "two", split="test", language="en", languages=["en"])
        assert (example.id, example.answer) == ("two/test:1", "a2")
        with pytest.raises(DataError, match="no split 'dev'; pass split= one of train, test"):
            load_examples(tmp_path / "two", split="dev", language="en")

    def test_a_directory_of_data_files(self, tmp_path):
        datasets.Dataset.from_list(ROWS).to_parquet(tmp_path / "d/data/train-00000-of-00002.parquet")
        datasets.Dataset.from_list(ROWS[:1]).to_parquet(tmp_path / "d/data/test-00000-of-00001.parquet")
        examples = load_examples(tmp_path / "d", language="en")
        assert [row.id for row in examples] == [f"d/data/train-00000-of-00002.parquet:{n}" for n in (1, 2, 3)]
        (example,) = load_examples(tmp_path / "d", split="test", language="en")
        assert example.id == "d/data/test-00000-of-00001.parquet:1"

    def test_the_only_split_is_taken_unasked(self, tmp_path):
        jsonl(tmp_path / "d/test.jsonl", ROWS[0])
        assert len(load_examples(tmp_path / "d", language="en")) == 1

    def test_csv_goes_through_datasets(self, tmp_path):
        (tmp_path / "d").mkdir()
        (tmp_path / "d/train.csv").write_text("prompt,completion\nHi,Hello\n")
        (example,) = load_examples(tmp_path / "d", language="en")
        assert (example.answer, example.id) == ("Hello", "d/train:1")

    def test_names_of_rows_do_not_depend_on_where_the_data_lies(self, tmp_path, monkeypatch):
        for home in ("here", "there"):
            jsonl(tmp_path / home / "d/train.jsonl", *ROWS)
        here, there = (load_examples(tmp_path / home / "d", language="en") for home in ("here", "there"))
        monkeypatch.chdir(tmp_path / "here")
        assert here == there == load_examples("./d", language="en")

    @pytest.mark.parametrize("source", ["missing.jsonl", "./missing", "/missing/folder", "a/b/c"])
    def test_a_path_that_is_not_there(self, source):
        with pytest.raises(DataError, match=f"There is no file or directory {source}; check the path"):
            load_examples(source, language="en")

    def test_the_hub_without_a_network_says_what_to_do(self, monkeypatch):
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        with pytest.raises(DataError, match=r"'owner/name'.*without a network, download it.*the directory"):
            load_examples("owner/name", language="en")

    def test_skipping_rows_of_the_hub_needs_a_file_for_them(self):
        with pytest.raises(ConfigError, match=r"owner/name is not a path.*pass bad_rows=FILE"):
            load_examples("owner/name", language="en", on_bad_row="skip")

    def test_limits_stop_reading_early(self, tmp_path):
        path = jsonl(tmp_path / "a.jsonl", *ROWS, {"broken": 1})
        assert len(load_examples(path, language="en", limit=3)) == 3

    def test_an_empty_file_is_an_error(self, tmp_path):
        with pytest.raises(DataError, match=r"a\.jsonl gives no Example rows: it is empty"):
            load_examples(jsonl(tmp_path / "a.jsonl"), language="en")

    def test_a_misspelt_option_is_refused(self, tmp_path):
        with pytest.raises(TypeError, match="no option 'langauge'; the options are form, split"):
            load_examples(jsonl(tmp_path / "a.jsonl", *ROWS), langauge="en")


ANSWERED = {"prompt_id": "p", "model": "m", "text": "a"}
GOOD = {"prompt": "a", "completion": "b"}
BAD_EXAMPLES = [
    ({"prompt": "a"}, "'completion'", "nothing"),
    ({"prompt": "a", "completion": ""}, "'messages.1.content'", "''"),
    ({"prompt": "", "completion": "b"}, "'messages.0.content'", "''"),
    ({"prompt": 3, "completion": "b"}, "'prompt'", "3"),
    ({"prompt": [], "completion": "b"}, "'prompt'", r"\[\]"),
    ({"prompt": "a", "completion": [USER]}, "'completion'", "{'role': 'user'"),
    ({"prompt": [{"role": "robot", "content": "a"}], "completion": "b"}, r"'messages.0.role'", "'robot'"),
    ({"prompt": [{"role": "user"}], "completion": "b"}, r"'messages.0.content'", "nothing"),
    ({"prompt": [{**USER, "name": "x"}], "completion": "b"}, r"'messages.0.name'", "'x'"),
    ({**GOOD, "id": "same"}, "'id'", "'same'"),
    ({**GOOD, "language": "qqq"}, "'language'", "'qqq'"),
    ({**GOOD, "meta": "{"}, "'meta'", "'{'"),
    ({**GOOD, "meta": [1]}, "'meta'", r"\[1\]"),
]
BAD_PAIRS = [
    ({"prompt": [ANSWER], "chosen": "a", "rejected": "b"}, "'prompt'", "{'role': 'assistant'"),
    ({"prompt": "a", "chosen": [USER], "rejected": "b"}, "'chosen'", r"\[{'role': 'user'"),
    ({"prompt": "a", "chosen": "b", "rejected": [ANSWER, USER, ANSWER]}, "'rejected'", r"\[{'role': 'assistant'"),
    ({"prompt": "a", "chosen": "b", "rejected": "c", "margin": "wide"}, "'margin'", "'wide'"),
]
BAD_IMPLICIT = [
    ({"chosen": "yes", "rejected": "no"}, "'chosen'", "'yes'"),
    ({"chosen": [ANSWER], "rejected": [ANSWER]}, "'chosen'", "nothing"),
    ({"chosen": [USER, ANSWER, USER, ANSWER], "rejected": [USER, ANSWER]}, "'chosen'", r"\[{'role': 'assistant'"),
]


@pytest.mark.parametrize(
    ("load", "good", "bad", "field", "value"),
    [
        *[(load_examples, {**GOOD, "id": "same"}, *case) for case in BAD_EXAMPLES],
        *[(load_pairs, {"prompt": "a", "chosen": "b", "rejected": "c"}, *case) for case in BAD_PAIRS],
        *[(load_pairs, {"chosen": "a b", "rejected": "a c"}, *case) for case in BAD_IMPLICIT],
        (load_prompts, {"prompt": "a"}, {"prompt": [ANSWER]}, "'prompt'", "{'role': 'assistant'"),
        (load_prompts, {"messages": [USER]}, {"messages": [ANSWER]}, "'messages'", "nothing"),
        (load_completions, ANSWERED, {"prompt_id": "p", "text": "a"}, "'model'", "nothing"),
    ],
)  # fmt: skip
def test_a_bad_row_fails_by_name_or_is_set_aside(tmp_path, load, good, bad, field, value):
    path = jsonl(tmp_path / "a.jsonl", good, bad, {**good, "id": "last"})
    with pytest.raises(DataError, match=rf"a\.jsonl, row 2, field {field}: got {value}.*, expected .*Mend the row"):
        load(path, language="en")
    report = ReadReport()
    rows = load(path, language="en", on_bad_row="skip", report=report)
    assert (len(rows), rows[-1].id, report.read, report.skipped) == (2, "last", 2, 1)
    (entry,) = [json.loads(line) for line in (tmp_path / "a.jsonl.bad.jsonl").read_text().splitlines()]
    assert (entry["file"], entry["row"], f"field {field}") == (str(path), 2, entry["field"])
    assert entry["expected"] in report.reasons


def test_bad_rows_of_a_directory_go_beside_it_or_where_asked(tmp_path):
    jsonl(tmp_path / "d/train.jsonl", GOOD, {"prompt": "a"})
    load_examples(tmp_path / "d", language="en", on_bad_row="skip")
    assert json.loads((tmp_path / "d.bad.jsonl").read_text())["row"] == 2
    load_examples(tmp_path / "d", language="en", on_bad_row="skip", bad_rows=tmp_path / "out.bad.jsonl")
    assert (tmp_path / "out.bad.jsonl").read_text() == (tmp_path / "d.bad.jsonl").read_text()


def test_what_was_loaded_can_be_written_and_read_as_records(tmp_path):
    examples = load_examples(jsonl(tmp_path / "a.jsonl", *ROWS), language="en")
    write_records(tmp_path / "out.parquet", examples)
    assert list(read_records(tmp_path / "out.parquet", Example)) == examples
