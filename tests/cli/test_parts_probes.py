"""``paribus probe``: rows, answers and a record on disk; a stopped command goes on; wrong input is one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_calls import call, python, sentence
from parts_server import serving
from parts_small import model_folder
from typer.main import get_command

from paribus.cli.app import app

SMALL = ("--classes", "majority", "--dimensions", 4, "--examples", 4, "--every", 2, "--functions", 5)
QUICK = ("--steps", 2, "--batch-size", 4, "--width", 8, "--heads", 2, "--sequences", 8, "--learning-rates", "1e-3,1e-2")


def rows(folder: Path, name: str = "rows.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def refused(*words: object) -> str:
    """The last line of a command that ended with an error, after what it said of its work."""
    result = call("probe", *words)
    assert result.exit_code == 2, (result.output, result.exception)
    return result.stderr.strip().splitlines()[-1]


def done(*words: object) -> str:
    result = call("probe", *words)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize("name", ["incontext", "formal"])
def test_help_has_an_example_and_says_what_each_option_is(name: str) -> None:
    assert f"Example: paribus probe {name} " in call("probe", name, "--help").stdout
    command = get_command(app).commands["probe"].commands[name]
    assert [param.name for param in command.params if not getattr(param, "help", None)] == []


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from typer.testing import CliRunner
from paribus.cli.app import app
for name in ("incontext", "formal"):
    assert CliRunner().invoke(app, ["probe", name, "--help"]).exit_code == 0
print([name for name in ("torch", "transformers", "numpy", "scipy") if name in sys.modules])
"""
    assert python(code).strip() == "[]"


def test_words_to_choose_from_are_those_of_the_parts() -> None:
    from typing import get_args, get_type_hints

    from paribus.cli.parts_probes import incontext
    from paribus.cli.parts_probes_formal import formal
    from paribus.models.sequence_shape import MIXERS
    from paribus.testbeds.incontext.direct import How
    from paribus.testbeds.incontext.textual import Variant

    assert get_args(get_type_hints(formal)["architecture"]) == MIXERS
    assert get_args(get_type_hints(incontext)["variant"]) == get_args(Variant)
    assert get_args(get_type_hints(incontext)["how"]) == get_args(How)


def test_the_stand_in_gets_the_learners_numbers(tmp_path: Path) -> None:
    shown = done("incontext", "--offline", *SMALL, "--learners", "1-nn,null", "--out", tmp_path / "asked")
    by_name = {
        name: [(r["shown"], r["accuracy"]) for r in rows(tmp_path / "asked") if r["name"] == name]
        for name in ("offline 1-NN", "1-NN", "null")
    }
    assert by_name["offline 1-NN"] == by_name["1-NN"] and [shown for shown, _ in by_name["null"]] == [2, 4]
    assert len(rows(tmp_path / "asked", "answers.jsonl")) == 10
    assert record(tmp_path / "asked")["results"] == {"answers": 10, "unparsed": 0}
    assert "majority of 4 bits, 5 functions" in shown


def test_the_same_command_again_does_nothing_and_another_is_refused(tmp_path: Path) -> None:
    words = ("incontext", "--offline", *SMALL, "--out", tmp_path / "asked")
    done(*words)
    before = (tmp_path / "asked" / "rows.jsonl").read_bytes()
    assert "finished already" in done(*words)
    other = call("probe", *words, "--seed", 1)
    assert other.exit_code == 2 and "seed: 0 there, 1 asked for" in other.stderr
    assert (tmp_path / "asked" / "rows.jsonl").read_bytes() == before


@pytest.mark.parametrize("how", ["generate", "logprobs"])
def test_a_model_folder_is_asked(tmp_path: Path, how: str) -> None:
    folder = model_folder(tmp_path / "model", max_position_embeddings=1024)
    done("incontext", "--model", folder, *SMALL, "--how", how, "--out", tmp_path / "asked")
    answers = rows(tmp_path / "asked", "answers.jsonl")
    assert len(answers) == 10 and {row["name"] for row in rows(tmp_path / "asked")} >= {"model", "1-NN"}
    assert how == "generate" or all(len(answer["text"].split()) == 2 for answer in answers)


def test_a_served_model_that_stops_answering_is_asked_only_for_the_rest(tmp_path: Path) -> None:
    from paribus.testbeds.incontext.textual import nearest_neighbour_answer

    left = [4]

    def rule(messages: list[dict[str, str]]) -> str | int:
        left[0] -= 1
        return str(nearest_neighbour_answer(messages[-1]["content"])) if left[0] >= 0 else 401

    with serving(rule) as server:
        words = ("incontext", "--model", "served", "--endpoint", server.url, "--concurrency", 1)
        words = (*words, *SMALL, "--out", tmp_path / "asked")
        assert "401" in refused(*words)
        asked, left[0] = server.calls, 99
        done(*words)
        assert server.calls - asked == 10 - 4
    found = [(row["shown"], row["accuracy"]) for row in rows(tmp_path / "asked") if row["name"] in ("served", "1-NN")]
    assert found[:2] == found[2:] and record(tmp_path / "asked")["cost"]["usage"]["cache_hits"] == 4
    assert not (tmp_path / "asked" / "requests.sqlite").exists()


def test_a_model_without_a_chat_template_needs_no_chat(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model", template=None, max_position_embeddings=1024)
    words = ("incontext", "--model", folder, *SMALL, "--out", tmp_path / "asked")
    assert "no chat template" in refused(*words)
    done(*words, "--no-chat")
    assert len(rows(tmp_path / "asked", "answers.jsonl")) == 10


def test_prompts_that_do_not_fit_are_refused_before_any_is_asked(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model", max_position_embeddings=128)
    said = refused("incontext", "--model", folder, *SMALL, "--out", tmp_path / "asked")
    assert "too long" in said and not (tmp_path / "asked").exists()


def test_an_estimate_asks_nothing(tmp_path: Path) -> None:
    shown = done("incontext", "--offline", *SMALL, "--estimate", "--prices", "1,2", "--out", tmp_path / "asked")
    assert "10 requests" in shown and "at about 0.00" in shown and not (tmp_path / "asked").exists()


def test_a_construction_is_checked_at_every_length(tmp_path: Path) -> None:
    words = ("formal", "--task", "index-lookup", "--setting", "symbols=2", "--length", 3, "--test-lengths", "4")
    shown = done(*words, "--construction", "--out", tmp_path / "checked")
    found = rows(tmp_path / "checked")
    names = [row["construction"] for row in found]
    assert names[: len(names) // 2] == names[len(names) // 2 :] and "index-lookup-sign-onehot" in names
    assert all(row["exhaustive"] and row["errors"] == 0 for row in found)
    assert {row["checked"] for row in found} == {3 * 2**3, 4 * 2**4}
    assert all(row["measured_margin"] >= row["margin"] - 1e-6 for row in found)
    assert record(tmp_path / "checked")["results"] == {"errors": 0} and "64 (all)" in shown
    again = done(*words, "--construction", "--out", tmp_path / "checked")
    assert "finished already" in again and "64 (all)" in again


def test_every_family_has_its_construction() -> None:
    from paribus.testbeds.formal.probing import task_at, verify_constructions
    from paribus.testbeds.formal.tasks import TASKS

    small = {
        "index-lookup": (3, {"symbols": 2}),
        "bounded-dyck": (4, {"depth": 2}),
        "nearest-neighbour": (2, {"dimension": 2}),
        "associative-recall": (8, {"pairs": 2, "vocabulary": 16}),
    }
    for name in TASKS:
        size, settings = small.get(name, (3, {}))
        found = verify_constructions(task_at(name, size, [], **settings), samples=50)
        assert found and all(row.errors == 0 and row.measured_margin > 0 for row in found), name


@pytest.mark.parametrize("architecture", ["attention", "lstm"])
def test_an_architecture_is_trained_and_tested(tmp_path: Path, architecture: str) -> None:
    words = ("formal", "--task", "index-lookup", "--setting", "symbols=4", "--length", 4, "--test-lengths", "6")
    out = tmp_path / "probed"
    shown = done(*words, *QUICK, "--architecture", architecture, "--seeds", "0,1", "--out", out)
    found = rows(out)
    assert [(row["seed"], row["size"]) for row in found] == [(0, 4), (0, 6), (1, 4), (1, 6)]
    assert len({row["learning_rate"] for row in found}) == 1 and {row["steps"] for row in found} == {2}
    results = record(out)["results"]
    assert results["learned"] == 0 and results["edge"] and results["state"]["needed"] == 8
    assert results["state"]["binds"] == (architecture == "lstm")
    assert "no proof that the architecture cannot" in shown and "widen --learning-rates" in shown


def test_a_task_that_is_learned_counts_its_seeds(tmp_path: Path) -> None:
    words = ("formal", "--task", "bounded-dyck", "--setting", "pairs=1", "--setting", "depth=1", "--length", 4)
    quick = ("--steps", 150, "--batch-size", 16, "--width", 16, "--learning-rates", "2e-2", "--sequences", 32)
    shown = done(*words, *quick, "--architecture", "gru", "--seeds", "0,1", "--out", tmp_path / "probed")
    found = rows(tmp_path / "probed")
    assert all(row["learned"] and row["steps"] < 150 for row in found)
    assert record(tmp_path / "probed")["results"]["learned"] == 2 and "2/2" in shown and "no proof" not in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("incontext", "--classes", "majority"), "--model, or give --offline"),
        (("incontext", "--offline", "--model", "x"), "one of the two"),
        (("incontext", "--model", "x", "--endpoint", "http://localhost:1/v1", "--how", "logprobs"), "in this process"),
        (("incontext", "--offline", "--classes", "monotone"), "no function class 'monotone'"),
        (("incontext", "--offline", "--classes", ","), "name one class"),
        (("incontext", "--offline", "--learners", "2-nn"), "no learner '2-nn'"),
        (("incontext", "--offline", "--dimensions", "five"), "--dimensions is 'five'"),
        (("incontext", "--offline", "--every", 60), "every=60 asks nothing"),
        (("incontext", "--offline", "--prices", "1"), "--prices is '1'"),
        (("incontext", "--offline", "--setting", "density"), "--setting is 'density'"),
        (("incontext", "--offline", "--how", "logprobs", "--variant", "steps"), "reasons before its label"),
        (("formal", "--task", "sorting"), "no formal task 'sorting'"),
        (("formal", "--task", "equality", "--setting", "colour=2"), "colour"),
        (("formal", "--task", "equality", "--learning-rates", "0"), "above 0 and stand there once, not 0"),
        (("formal", "--task", "equality", "--learning-rates", "1e-3,1e-3"), "stand there once, not 0.001"),
        (("formal", "--task", "equality", "--learning-rates", ""), "--learning-rates names no rate"),
        (("formal", "--task", "equality", "--seeds", "1,1"), "seeds="),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path: Path, words: tuple, says: str) -> None:
    assert says in sentence(call("probe", *words, "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
