"""The application: its routes, and the order in which a request is read, answered and written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from recurra.runtime import use_threads
from recurra.serve.answering import Answered, answer_table, answer_texts
from recurra.serve.bodies import Question, options_of, parse_question, read_body
from recurra.serve.card import card_of
from recurra.serve.events import END, answers_in_parts, stream_events, stream_options
from recurra.serve.explaining import explained
from recurra.serve.guard import Access, Guard, refusal_response
from recurra.serve.limits import Limits
from recurra.serve.measures import Measures
from recurra.serve.models import Model, Models
from recurra.serve.page import PAGE, PAGE_HEADERS
from recurra.serve.protocol import HEADER_LENGTH, model_metadata, parse_call, written_outputs
from recurra.serve.refusals import AskError
from recurra.serve.schemas import INFER, PREDICT
from recurra.serve.shapes import in_client_form, with_known_names
from recurra.serve.worker import Worker

__all__ = ["create_app"]

_LOG = logging.getLogger("recurra.serve")
_EXTENSIONS = ["binary_tensor_data", "model_repository"]
_FORMS = {"application/x-ndjson": "jsonl", "application/jsonl": "jsonl", "text/csv": "csv"}
_FAULT = AskError(500, "the server failed on this request; its log has the reason")
T = TypeVar("T")


class Service:
    """The models, the worker and the limits behind the routes."""

    def __init__(self, models: Sequence[str | Path], limits: Limits) -> None:
        self.limits, self.measures = limits, Measures()
        self.worker = Worker(limits, self.measures)
        self.models = Models.named(models, warm=self._warm, warn=_LOG.warning, changed=self._changed)
        self.ready = self._at_hand = False

    def load(self) -> None:
        """Loads the models, if they are not loaded yet."""
        if self._at_hand:
            return
        use_threads()
        self.models.load()
        self._at_hand = True
        for name in self.models.names():
            for version in self.models.versions(name):
                self._loaded(self.models.get(name, version))

    def start(self) -> None:
        """Loads the models and starts the worker."""
        self.load()
        self.worker.start()
        self.ready = True

    def _warm(self, model: Model) -> None:
        """Computes answers to texts, since the first ones take seconds: code is compiled."""
        if model.bundle.task != "forecast":
            answer_texts(model.bundle, [["a"], ["a b", "a b c"]], {}, together=1)
            answer_texts(model.bundle, [["a", "a b"]], {})

    def _loaded(self, model: Model | None) -> None:
        if model is not None:
            self.measures.loaded.labels(model.name, model.version).set_to_current_time()

    def _changed(self, model: Model) -> None:
        _LOG.info("model %s version %s is served from now on", model.name, model.version)
        self.measures.reloads.labels(model.name).inc()
        self._loaded(model)

    def model(self, name: str | None = None, version: str | None = None) -> Model:
        """Returns a model.

        Raises:
            AskError: there is none (404).
        """
        model = self.models.get(name, version or None)
        if model is None:
            if name is not None and self.models.versions(name):
                known = ", ".join(self.models.versions(name))
                raise AskError(404, f"model {name!r} has no version {version!r}; it has {known}")
            raise AskError(404, f"there is no model {name!r}; there are {', '.join(self.models.names())}")
        return model

    async def result(self, future: asyncio.Future[T]) -> T:
        """Returns the value of work in the thread.

        Raises:
            AskError: it failed, or takes too long (504).
        """
        late = AskError(504, f"there was no answer within {self.limits.timeout:g} s")
        timer = future.get_loop().call_later(self.limits.timeout, _refuse, future, late)
        try:
            return await future
        finally:
            timer.cancel()

    def ask(self, model: Model, question: Question, options: dict[str, Any]) -> asyncio.Future[Answered]:
        """Returns the future answers to a question."""
        if question.table is not None:
            table = question.table
            return self.worker.call(model, lambda: answer_table(model.bundle, table, options))
        return self.worker.texts(model, question.texts, options)


def create_app(
    models: Sequence[str | Path],
    *,
    limits: Limits | None = None,
    access: Access | None = None,
    refresh: float = 1.0,
) -> FastAPI:
    """Returns the application that answers for models; it loads them when the server starts.

    Args:
        models: directories of models, or of directories of models; ``NAME=DIRECTORY`` names a model.
        limits: what requests may ask for.
        access: who may ask; by default requests to this machine under its own names.
        refresh: seconds between two looks for new models; 0 for none.

    Raises:
        BundleError: there is no model in a directory.
        ConfigError: two models have the same name.
    """
    limits, access = limits or Limits(), access or Access()
    service = Service(models, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.start)
        looking = asyncio.create_task(_look(service, refresh)) if refresh else None
        yield
        if looking is not None:
            looking.cancel()
        await asyncio.to_thread(service.worker.close)

    app = _Application(
        title="recurra",
        version=installed("recurra"),
        description='Answers of recurrent networks. Errors are `{"error": "one line"}`.',
        docs_url=None,  # its pages load scripts from other servers
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    _add_pages(app, service)
    _add_protocol(app, service)
    predict = _add_predict(app, service)
    _add_errors(app)
    app.guard = Guard(
        app.unguarded,
        access=access,
        limits=limits,
        measures=service.measures,
        route_of=_route_name,
        direct=_direct(predict),
    )
    return app


class _Application(FastAPI):
    """FastAPI behind a guard, which answers some requests itself."""

    guard: Guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.guard(scope, receive, send)

    async def unguarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request that the guard has let through."""
        await super().__call__(scope, receive, send)


def _direct(predict: Callable[..., Awaitable[Response]]) -> Callable[[Request], Awaitable[Response] | None]:
    """Returns a function that answers ``POST /predict`` and ``POST /models/NAME/predict``; None for others.

    FastAPI's routes do the same for these: its way to them takes as long as an answer.
    """

    async def answer(request: Request, *name: str) -> Response:
        try:
            return await predict(request, *name)
        except AskError as refusal:
            return refusal_response(refusal)
        except Exception:  # noqa: BLE001 - written to the log; the request learns nothing of it
            _LOG.exception("a request failed")
            return refusal_response(_FAULT)

    def direct(request: Request) -> Awaitable[Response] | None:
        match request.scope["method"], request.scope["path"].split("/"):
            case "POST", ["", "predict"]:
                return answer(request)
            case "POST", ["", "models", name, "predict"]:
                return answer(request, name)
        return None

    return direct


def _refuse(future: asyncio.Future[Any], error: AskError) -> None:
    if not future.done():
        future.set_exception(error)


async def _look(service: Service, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(service.models.refresh)
        except Exception:  # noqa: BLE001 - written to the log; the models that are loaded go on answering
            _LOG.exception("the directories of models can't be looked at")


_ROUTES = {"predict", "explain", "stream", "models", "metrics", "card", "openapi.json"}


def _route_name(path: str) -> str:
    """Returns the first part of the route of a path; ``other`` where there is none."""
    parts = path.strip("/").split("/")
    if parts[0] == "v2":
        return "/v2/infer" if parts[-1] == "infer" else "/v2"
    if parts[0] == "models" and parts[-1] in _ROUTES:
        return f"/{parts[-1]}"
    return f"/{parts[0]}" if parts[0] in _ROUTES or path == "/" else "other"


def _add_pages(app: FastAPI, service: Service) -> None:
    @app.get("/", response_class=HTMLResponse, summary="A page to ask the models on")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers=PAGE_HEADERS)

    @app.get("/metrics", summary="Figures for Prometheus")
    async def metrics() -> Response:
        return Response(service.measures.page(), media_type=service.measures.content_type)

    @app.get("/models", summary="The models and their versions")
    async def models() -> Any:
        return [
            {"name": name, "versions": service.models.versions(name), "task": service.model(name).bundle.task}
            for name in service.models.names()
        ]

    @app.get("/models/{name}/card", summary="The model card, the figures and the classes of a model")
    async def card(name: str, version: str | None = None) -> JSONResponse:
        return JSONResponse(card_of(service.model(name, version)))


def _add_protocol(app: FastAPI, service: Service) -> None:
    @app.get("/v2", summary="The server (Open Inference Protocol)")
    async def server() -> Any:
        return {"name": "recurra", "version": installed("recurra"), "extensions": _EXTENSIONS}

    @app.get("/v2/health/live", summary="Whether the server runs")
    async def live() -> Any:
        return {"live": True}

    @app.get("/v2/health/ready", summary="Whether all models can answer")
    async def ready() -> JSONResponse:
        can_answer = service.ready and service.worker.works
        return JSONResponse({"ready": can_answer}, 200 if can_answer else 503)

    @app.post("/v2/repository/index", summary="The models and their versions")
    async def index() -> Any:
        return [
            {"name": name, "version": version, "state": "READY", "reason": ""}
            for name in service.models.names()
            for version in service.models.versions(name)
        ]

    async def model_ready(name: str, version: str | None = None) -> Any:
        return {"name": service.model(name, version).name, "ready": True}

    async def metadata(name: str, version: str | None = None) -> Any:
        return model_metadata(service.model(name, version), service.models.versions(name))

    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        model = service.model(name, version)
        raw = await read_body(request, service.limits)
        call = parse_call(raw, request.headers.get(HEADER_LENGTH), model, service.limits)
        options = options_of(model.bundle.task, call.parameters, service.limits)
        answered = await service.result(service.ask(model, Question(call.texts, call.table), options))
        body, head = written_outputs(model, call, answered)
        if head is None:
            return Response(body, media_type="application/json")
        return Response(body, media_type="application/octet-stream", headers={HEADER_LENGTH: str(head)})

    for place in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        app.get(place, summary="The inputs and outputs of a model")(metadata)
        app.get(f"{place}/ready", summary="Whether a model can answer")(model_ready)
        app.post(f"{place}/infer", summary="The answers to tensors", openapi_extra=INFER)(infer)


def _add_predict(app: FastAPI, service: Service) -> Callable[..., Awaitable[Response]]:
    async def predict(request: Request, name: str | None = None, version: str | None = None) -> Response:
        model = service.model(name, version)
        raw = await read_body(request, service.limits)
        question = parse_question(raw, model.bundle.task, service.limits)
        if question.stream:
            return await streamed(model, question)
        wanted = request.headers.get("accept", "").split(",")[0].partition(";")[0].strip()
        parameters, labels = with_known_names(model.bundle.task, question.parameters)
        if labels is not None and wanted not in _FORMS:
            parameters.setdefault("all_classes", True)  # of which so many are returned as are asked for
        options = options_of(model.bundle.task, parameters, service.limits)
        answered = await service.result(service.ask(model, question, options))
        if wanted in _FORMS:
            return Response(answered.written(_FORMS[wanted]), media_type=wanted)
        return JSONResponse(in_client_form(model, question, answered, labels))

    async def streamed(model: Model, question: Question) -> Response:
        given, recompute = stream_options(model.bundle.task, question.parameters)
        options = options_of(model.bundle.task, given, service.limits)
        parts = await service.result(
            service.worker.call(
                model, lambda: answers_in_parts(model, question, options, recompute, service.limits)
            )
        )

        async def next_part() -> Any:
            return await service.result(service.worker.call(model, lambda: next(parts, END)))

        async def more() -> AsyncIterator[Any]:
            while (part := await next_part()) is not END:
                yield part

        first = await next_part()
        return StreamingResponse(stream_events(first, more()), media_type="text/event-stream")

    async def stream(request: Request, name: str | None = None, version: str | None = None) -> Response:
        model = service.model(name, version)
        raw = await read_body(request, service.limits)
        return await streamed(model, parse_question(raw, model.bundle.task, service.limits))

    async def explain(request: Request, name: str | None = None, version: str | None = None) -> JSONResponse:
        model = service.model(name, version)
        raw = await read_body(request, service.limits)
        question = parse_question(raw, model.bundle.task, service.limits)
        return JSONResponse(
            await service.result(
                service.worker.call(model, lambda: explained(model, question, service.limits))
            )
        )

    for place in ("", "/models/{name}", "/models/{name}/versions/{version}"):
        app.post(f"{place}/stream", summary="The answers after each word, as events", openapi_extra=PREDICT)(
            stream
        )
        app.post(f"{place}/predict", summary="The answers to texts", openapi_extra=PREDICT)(predict)
        app.post(f"{place}/explain", summary="The words that an answer hangs on", openapi_extra=PREDICT)(
            explain
        )
    return predict


def _add_errors(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, AskError)  # noqa: S101  # registered for it alone
        return refusal_response(error)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  # registered for it alone
        line = {404: "there is no such address", 405: "this address has another method"}
        headers = dict(error.headers or {})
        return refusal_response(
            AskError(error.status_code, line.get(error.status_code, error.detail), headers)
        )

    async def fault(request: Request, error: Exception) -> Response:
        return refusal_response(_FAULT)

    app.add_exception_handler(AskError, refused)
    app.add_exception_handler(Exception, fault)
    app.add_exception_handler(HTTPException, http)
