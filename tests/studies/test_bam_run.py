"""The BAM study at smoke scale, through the command line: run, report, kill, resume; and on the user's own text."""

import json
import random
import re
import shutil
from pathlib import Path

import pytest
from smoke_runs import MARKS, command, finished, run, sets

from paribus.lab import Store, read_result
from paribus.lab.killing import run_through_kills
from paribus.lab.store import payload_differences
from paribus.studies.bam import STUDY

COMMAND = command(STUDY.name)
SMALL = ("arms=btx,expert_kv,expert_kv_frozen", "data.experts=code,math")

pytestmark = MARKS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the whole smoke study in it."""
    return finished(STUDY.name, tmp_path_factory.mktemp("whole"))


def test_the_result_has_every_arm_claim_and_panel(whole: Path) -> None:
    result = read_result(STUDY.plan(STUDY.at("smoke")), Store(whole))
    assert len(result.arms) == 24 and len(result.claims) == 17
    assert {claim.verdict for claim in result.claims} <= {"supported", "contradicted", "unresolved"}
    assert {panel.id for panel in result.panels} >= {
        "domains", "questions", "languages", "cost-training", "cost-inference", "routing-ffn", "routing-attention",
        "dead-experts", "perplexity", "sizes", "losses", "streams", "phases",
    }  # fmt: skip
    # Rows this short hold more padding for some domains than for others, and tokens are counted without it.
    missed = {c.name for c in result.contrasts if c.matched.startswith("budget missed")}
    assert missed <= {"expert-KV BAM over one dense model for the summed tokens"}
    assert all(arm.cost["seconds"] > 0 and arm.cost["body_flops"] < arm.cost["flops"] for arm in result.arms)


def test_data_matched_arms_learned_the_same_tokens_and_shorter_runs_their_beginning(whole: Path) -> None:
    plan = STUDY.plan(STUDY.at("smoke"))
    streams = next(p for p in read_result(plan, Store(whole)).panels if p.id == "streams")
    assert streams.rows[0]["arms"] >= 10
    told = {
        name: json.loads((Store(whole).path(plan.arms[name].labelled[0]["mix"].address) / "training.json").read_text())
        for name in ("btx", "expert_kv", "expert_kv_cm")
    }
    assert told["btx"]["stream"] == told["expert_kv"]["stream"] != told["expert_kv_cm"]["stream"]
    assert told["btx"]["shares"] == pytest.approx(dict.fromkeys(("general", "code", "law", "math"), 0.25), abs=0.02)


def test_experts_are_copies_and_routers_are_told_in_the_provenance(whole: Path) -> None:
    plan = STUDY.plan(STUDY.at("smoke"))
    folder = Store(whole).path(plan.arms["expert_kv"].labelled[0]["upcycle"].address)
    told = (folder / "merged" / "upcycle_report.json").read_text()
    origins = {row["name"].split("layers.0.")[-1]: row["origin"] for row in json.loads(told)["tensors"]}
    assert origins["self_attn.qkv_proj.weight"] == origins["mlp.experts.down_proj"] == "copied"
    assert origins["input_layernorm.weight"] == origins["model.embed_tokens.weight"] == "averaged"
    assert origins["mlp.router.weight"] == origins["self_attn.router.weight"] == "drawn"
    assert str(whole) not in told and "seconds" not in told and "peak_memory" not in told


def test_the_page_shows_matrix_front_and_maps(whole: Path) -> None:
    page = (whole / "reports" / "bam-smoke.html").read_text(encoding="utf-8")
    for words in ("Bits per byte by domain", "What training costs", "Where feed-forward routers send tokens"):
        assert words in page
    assert "<script" not in page and not re.search(r'(?:src|href)="https?:', page)


def test_random_kills_end_in_the_same_bytes(tmp_path: Path) -> None:
    """Six kills of runner or worker; training goes on from its checkpoints, and the artifacts are the same."""
    undisturbed, store = tmp_path / "whole", tmp_path / "killed"
    done = run(STUDY.name, undisturbed, *sets(SMALL))
    assert done.returncode == 0, done.stdout + done.stderr
    # How to compute is measured once a store; two stores may choose otherwise, and then round otherwise.
    measured = next(h for h in STUDY.plan(STUDY.at("smoke", SMALL)).graph if h.label == "compute").address
    shutil.copytree(Store(undisturbed).path(measured), Store(store).path(measured))
    dice = random.Random(6)
    command = [*COMMAND, "--store", str(store), *sets(SMALL)]
    kills = run_through_kills(command, store, [dice.uniform(2.0, 5.0) for _ in range(6)], victim="any", seed=6)
    assert kills.code == 0, kills.output
    assert kills.runners_killed + kills.workers_killed >= 3 and kills.orphans == ()
    assert payload_differences(Store(store), Store(undisturbed)) == []


def test_the_users_own_text_and_seed_model_run_the_same_study(tmp_path: Path, whole: Path) -> None:
    """A dense model and its tokenizer from directories, documents from files of text."""
    plan = STUDY.plan(STUDY.at("smoke"))
    labelled = plan.arms["seed"].labelled[0]
    model, corpus = (Store(whole).path(labelled[label].address) for label in ("seed-model", "corpus"))
    for domain in ("general", "code", "law"):
        lines = (corpus / f"train-{domain}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.dumps({"text": json.loads(line)["text"]}) for line in lines]
        (tmp_path / f"{domain}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    sources = {domain: str(tmp_path / f"{domain}.jsonl") for domain in ("general", "code", "law")}
    done = run(
        STUDY.name,
        tmp_path / "store",
        *sets(
            (
                f"data.sources={json.dumps(sources)}",
                "data.experts=code,law",
                "data.questions=0",
                "data.train_documents=60",
                f"data.tokenizer={model}",
                f"seed_model={model}",
                "arms=btx,shared_kv",
            )
        ),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "expert_law" in done.stdout or list((tmp_path / "store" / "reports").glob("*.html"))
