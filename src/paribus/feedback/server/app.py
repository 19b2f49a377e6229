"""The application: addresses, and what each of them does with the database, the task and the page.

Every change is a POST that carries the session's CSRF token and ends in a redirect, so that reloading repeats nothing.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from paribus.errors import DataError
from paribus.feedback.server import pages, queue
from paribus.feedback.server.database import Database
from paribus.feedback.server.people import SESSION_SECONDS, Rater, rater_of, sign_in, sign_out, take_up
from paribus.feedback.server.security import COOKIE, Door, Guard, new_secret
from paribus.feedback.server.tasks import TASKS, Fields, Incomplete, read_answer
from paribus.feedback.server.texts import preferred
from paribus.languages import AYA_23

MOST_FIELDS = 200
"""Fields a posted form may have; ours have below 50."""

FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Site:
    """What the handlers work with. ``secure`` marks cookies for HTTPS only (behind a proxy that speaks it)."""

    database: Database
    door: Door
    lease: float = queue.LEASE_SECONDS
    secure: bool = False


@dataclass(frozen=True)
class Visit:
    """One request: its session (empty for none), whose it is, the language of its page, and what was posted."""

    site: Site
    session: str
    rater: Rater | None
    ui: str
    fields: Fields = field(default_factory=dict)

    @property
    def frame(self) -> pages.Frame:
        """What its page is framed in."""
        return pages.Frame(self.ui, self.site.door.csrf(self.session), self.rater.name if self.rater else "")

    def value(self, name: str) -> str:
        """The first value posted under a name, or nothing."""
        return next(iter(self.fields.get(name, ())), "")


class Elsewhere(Exception):
    """The visitor must go to another address first."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


async def _posted(request: Request) -> dict[str, list[str]]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise HTTPException(415)
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise HTTPException(400) from None


def _visit(request: Request) -> Visit:
    site: Site = request.app.state.site
    session = request.cookies.get(COOKIE, "")
    rater = rater_of(site.database, session) if session else None
    asked = request.query_params.get("ui", "")
    own = rater.ui if rater else preferred(request.headers.get("accept-language", ""))
    ui = asked if asked in AYA_23 else own
    return Visit(site, session, rater, ui)


def _posting(request: Request, fields: Annotated[dict[str, list[str]], Depends(_posted)]) -> Visit:
    """A visit that changes something: it must come from a page of its own session."""
    seen = _visit(request)
    if not seen.site.door.csrf_fits(seen.session, next(iter(fields.get("csrf", ())), "")):
        raise HTTPException(403)
    return Visit(seen.site, seen.session, seen.rater, seen.ui, fields)


Visiting = Annotated[Visit, Depends(_visit)]
Posting = Annotated[Visit, Depends(_posting)]
router = APIRouter()


@router.get("/")
def _home(visit: Visiting) -> Response:
    tasks = visit.site.database.tasks()
    if visit.rater is None:
        raise Elsewhere("/sign-in")
    if visit.rater.task or len(tasks) == 1:
        raise Elsewhere(f"/{visit.rater.task or tasks[0]}")
    return HTMLResponse(pages.tasks_page(visit.frame, tasks))


@router.get("/sign-in")
def _sign_in_form(visit: Visiting, task: str = "") -> Response:
    session = visit.session or new_secret()  # the form needs a token before there is anyone to have a session
    seen = Visit(visit.site, session, None, visit.ui, {"language": [visit.ui]})
    reply = _sign_in_page(seen, task)
    _set_cookie(reply, seen.site, session)
    return reply


@router.post("/sign-in")
def _signed_in(visit: Posting) -> Response:
    task, ui = visit.value("task"), visit.value("ui")
    seen = Visit(visit.site, visit.session, None, ui if ui in AYA_23 else visit.ui, visit.fields)
    if not visit.site.door.admits(visit.value("token")):
        return _sign_in_page(seen, task, "token", 403)
    languages = [code for code in visit.fields.get("language", ()) if code in _languages(visit.site, task)]
    if not languages:
        return _sign_in_page(seen, task, "languages", 422)
    try:
        session = sign_in(visit.site.database, visit.value("name"), seen.ui, languages)
    except DataError:
        return _sign_in_page(seen, task, "name", 422)
    reply = RedirectResponse(f"/{task if task in TASKS else ''}", 303)
    _set_cookie(reply, visit.site, session)
    return reply


@router.post("/sign-out")
def _signed_out(visit: Posting) -> Response:
    sign_out(visit.site.database, visit.session)
    reply = RedirectResponse("/sign-in", 303)
    reply.delete_cookie(COOKIE, path="/")
    return reply


@router.get("/{task}")
def _form(task: str, visit: Visiting) -> Response:
    rater = _rater_of_task(visit, task)
    slot = queue.next_slot(visit.site.database, rater, task, visit.site.lease)
    if slot is None:
        return _finished(visit, rater, task)
    return _form_page(visit, rater, slot, slot.before or {})


@router.post("/{task}")
def _answered(task: str, visit: Posting) -> Response:
    rater = _rater_of_task(visit, task)
    slot = queue.slot_of(visit.site.database, rater, task, visit.value("nonce"))
    if slot is None:
        return _message(visit, "stale", f"/{task}", 409)
    try:
        answer = read_answer(TASKS[task].shown(slot.body), visit.fields)
    except Incomplete:
        return _form_page(visit, rater, slot, visit.fields, "incomplete", 422)
    if queue.keep(visit.site.database, rater, slot, answer) == "stale":
        return _message(visit, "stale", f"/{task}", 409)
    return RedirectResponse(f"/{task}", 303)


@router.post("/{task}/change")
def _change(task: str, visit: Posting) -> Response:
    queue.take_back(visit.site.database, _rater_of_task(visit, task), task)
    return RedirectResponse(f"/{task}", 303)


def _rater_of_task(visit: Visit, task: str) -> Rater:
    """The visitor, if the task is there and theirs."""
    if task not in visit.site.database.tasks():
        raise HTTPException(404)
    if visit.rater is None:
        raise Elsewhere(f"/sign-in?task={task}")
    own = take_up(visit.site.database, visit.rater.name, task)
    if own != task:
        raise HTTPException(403, detail=own)
    return visit.rater


def _form_page(
    visit: Visit, rater: Rater, slot: queue.Slot, chosen: Fields, trouble: str = "", status: int = 200
) -> Response:
    database = visit.site.database
    page = pages.FormPage(
        frame=visit.frame,
        task=slot.task,
        nonce=slot.nonce,
        shown=TASKS[slot.task].shown(slot.body),
        progress=queue.progress(database, rater, slot.task),
        chosen=chosen,
        changing=slot.before is not None,
        may_change=queue.may_take_back(database, rater, slot.task),
        trouble=trouble,
    )
    return HTMLResponse(pages.form_page(page), status)


def _finished(visit: Visit, rater: Rater, task: str) -> Response:
    database = visit.site.database
    change = f"/{task}/change" if queue.may_take_back(database, rater, task) else ""
    done = queue.progress(database, rater, task)
    return HTMLResponse(pages.message_page(visit.frame, "finished", progress=done, change=change))


def _sign_in_page(visit: Visit, task: str, trouble: str = "", status: int = 200) -> Response:
    known = task if task in visit.site.database.tasks() else ""
    page = pages.sign_in_page(
        visit.frame,
        task=known,
        with_token=visit.site.door.token is not None,
        languages=_languages(visit.site, known),
        chosen=visit.fields,
        trouble=trouble,
    )
    return HTMLResponse(page, status)


def _languages(site: Site, task: str) -> tuple[str, ...]:
    tasks = site.database.tasks()
    return site.database.languages([task] if task in tasks else tasks)


def _message(visit: Visit, sentence: str, go_on: str, status: int, task: str = "") -> Response:
    return HTMLResponse(pages.message_page(visit.frame, sentence, go_on=go_on, task=task), status)


def _set_cookie(reply: Response, site: Site, session: str) -> None:
    reply.set_cookie(
        COOKIE, session, max_age=int(SESSION_SECONDS), path="/", httponly=True, samesite="strict", secure=site.secure
    )


def _go_elsewhere(request: Request, error: Any) -> Response:
    return RedirectResponse(error.address, 303)


def _in_words(request: Request, error: Any) -> Response:
    """Refusals that a rater can meet are said in their language; the others are a status and nothing more."""
    if error.status_code not in (403, 404):
        return Response(status_code=error.status_code)
    visit = _visit(request)
    if error.status_code == 404:
        return _message(visit, "absent", "/", 404)
    if error.detail in TASKS:
        name = pages.task_name(visit.ui, error.detail)
        return _message(visit, "other_task", f"/{error.detail}", 403, task=name)
    return _message(visit, "expired", "/sign-in", 403)


def make_app(site: Site, hosts: frozenset[str] | None) -> FastAPI:
    """The application on one database; ``hosts`` are the names it may be called by (None = any)."""
    app = FastAPI(title="Paribus", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site = site
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.include_router(router)
    app.add_exception_handler(Elsewhere, _go_elsewhere)
    app.add_exception_handler(HTTPException, _in_words)
    app.add_middleware(Guard, hosts=hosts)
    return app
