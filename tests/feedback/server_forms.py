"""Small forms and games, a server's database of them, and a client that reads pages as a browser would."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from paribus.feedback.annotation.design import Form, FormItem
from paribus.feedback.games import Game, games
from paribus.feedback.server.database import Database
from paribus.feedback.server.people import Rater, rater_of, sign_in
from paribus.feedback.server.serving import Address, application
from paribus.feedback.server.tasks import ARENA, RATING
from paribus.records import Completion, Message, Prompt

MODELS = ("zephyrus-9b", "boreas-70b")
HOME = "http://127.0.0.1:8020"


def form(
    number: int,
    *,
    pass_: str = "errors",
    language: str = "en",
    texts: tuple[str, str] = ("left text", "right text"),
    prompt: str = "A request",
    pair: str | None = None,
    attention: tuple[str, ...] | None = None,
) -> Form:
    """The form ``number`` of a pass; each has a pair of its own unless one is named."""
    items = tuple(_item(number, place, text, language) for place, text in enumerate(texts))
    return Form.model_validate(
        {
            "id": f"{pass_}-{language}-{number}",
            "pass": pass_,
            "language": language,
            "prompt": prompt,
            "items": items,
            "pair": pair or f"pair-{language}-{number}",
            "asked": ("factuality", "refusal", "repetition") if pass_ == "errors" else (),
            "attention": (("yes", "no") if pass_ == "errors" else ()) if attention is None else attention,
        }
    )


def _item(number: int, place: int, text: str, language: str) -> FormItem:
    meta = {
        "dataset": "toy",
        "input": f"input-{number}",
        "model": MODELS[place],
        "preamble": "normal",
        "other_model": MODELS[1 - place],
        "other_preamble": "normal",
        "language": language,
        "distractor": False,
        "words": len(text.split()),
    }
    return FormItem(id=f"toy/input-{number}/{MODELS[place]}/normal", text=text, meta=meta)


def game_rows(count: int, languages: Sequence[str] = ("en",), seed: int = 0) -> list[Game]:
    """Games of two models on ``count`` questions in each language, one a question, in drawn order."""
    prompts = [
        Prompt(
            id=f"q{number}-{code}",
            language=code,
            messages=(Message(role="user", content=f"question {number} in {code}"),),
            meta={"question_id": f"q{number}"},
        )
        for code in languages
        for number in range(count)
    ]
    a, b = ({row.prompt_id: row for row in (answer(prompt, name) for prompt in prompts)} for name in MODELS)
    return games(prompts, a, b, protocol="single", seed=seed)


def answer(prompt: Prompt, model: str) -> Completion:
    """A model's answer, which tells the two apart without naming them."""
    text = f"{'good' if model == MODELS[0] else 'poor'} answer to {prompt.id}"
    return Completion(id=f"{prompt.id}/{model}", prompt_id=prompt.id, language=prompt.language, model=model, text=text)


def database(folder: Path, forms: Sequence[Form] = (), games: Sequence[Game] = (), quota: int = 1) -> Database:
    """A database of these."""
    made = Database(folder / "forms.sqlite")
    for name, task in RATING.items():
        made.add_forms(name, [task.row(each) for each in forms if each.pass_ == name], quota)
    made.add_forms("arena", [ARENA.row(each) for each in games], quota)
    return made


def rater(made: Database, name: str, languages: Sequence[str] = ("en",)) -> Rater:
    """Someone who signed in."""
    found = rater_of(made, sign_in(made, name, "en", languages))
    assert found is not None
    return found


class Browser:
    """A client that keeps cookies and finds the hidden fields of the last page it saw."""

    def __init__(
        self, made: Database, *, token: str | None = None, address: Address | None = None, **more: Any
    ) -> None:
        self.app = application(made, address or Address(), token, **more)
        self.http = TestClient(self.app, base_url=HOME)
        self.page: Any = None

    def get(self, path: str, **more: Any) -> Any:
        self.page = self.http.get(path, **more)
        return self.page

    def hidden(self, name: str) -> str:
        found = re.search(rf'name="{name}" value="([^"]*)"', self.page.text)
        return found[1] if found else ""

    def post(self, path: str, **fields: Any) -> Any:
        """Post with the page's own CSRF token, unless another is given; ``_`` in field names stands for a dot."""
        sent = {"csrf": self.hidden("csrf")} | {name.replace("_", "."): value for name, value in fields.items()}
        self.page = self.http.post(path, data=sent)
        return self.page

    def sign_in(self, name: str, task: str = "errors", languages: Sequence[str] = ("en",), **more: str) -> Any:
        self.get(f"/sign-in?task={task}&ui=en")
        return self.post("/sign-in", name=name, task=task, ui="en", language=list(languages), **more)

    def rate(self, task: str = "errors", nonce: str | None = None, **fields: Any) -> Any:
        """Answer the form of the last page: everything a 3 (checks right), except what is given."""
        asked = {
            "errors": {"first_overall": "3", "second_overall": "3", "check_0": "yes", "check_1": "no"},
            "quality": {"first_quality": "3", "second_quality": "3"},
            "style": {
                f"{side}_{name}": "3" for side in ("first", "second") for name in ("assertiveness", "complexity")
            },
            "arena": {"vote": "tie"},
        }[task]
        return self.post(f"/{task}", nonce=self.hidden("nonce") if nonce is None else nonce, **{**asked, **fields})
