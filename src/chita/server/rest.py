"""HTTP to the registry and back: verbs, queries, bodies, forms."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from chita.errors import ExpiredError
from chita.server import (
    authorization,
    patching,
    protobuf,
    representation,
    status,
    warning,
    watching,
)
from chita.server.apply import Apply, Force
from chita.server.ownership import Operation
from chita.server.registry import Options, Preconditions
from chita.server.representation import Include, View
from chita.server.request import Part, Target, Verb, is_true, number, target
from chita.server.selectors import parse_filter
from chita.server.watching import WatchRequest
from chita.store.store import Key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chita.server.registry import Registry
    from chita.server.selectors import Filter
    from chita.server.users import User
    from chita.server.warning import Warn
    from chita.store.store import Object, Stored

JSON = "application/json"
BODY_TYPES = ("", JSON, "application/octet-stream", "*/*")


class Continue(msgspec.Struct, frozen=True):
    """Where a page ended: the list's revision and its last key."""

    revision: int
    namespace: str
    name: str


class Rest:
    """Answers the requests below ``/api`` and ``/apis`` that are about objects."""

    def __init__(self, registry: Registry, warn: Warn) -> None:
        self._registry = registry
        self._warn = warn

    async def answer(  # noqa: PLR0911 - one return per verb
        self, request: web.BaseRequest, user: User
    ) -> web.StreamResponse:
        """Answer one request.

        Raises:
            RefusedError: any refusal, to be answered as a ``Status``.
        """
        asked = target(request.method, request.path, request.query)
        authorization.check_request(user, asked)
        view = View(
            asked.kind,
            representation.form_of(request.headers.get("Accept", "")),
            _include(request),
        )
        # Who asks for revision 0 takes any state; others must see what every server acknowledged.
        if request.query.get("resourceVersion") != "0":
            await self._registry.store.fresh()
        match asked.verb:
            case Verb.GET:
                return _json(representation.one(view, self._get(asked)))
            case Verb.LIST:
                return self._list(request, asked, view)
            case Verb.WATCH:
                return await self._watch(request, asked, view)
            case Verb.CREATE:
                return await self._create(request, asked, view, user)
            case Verb.UPDATE | Verb.PATCH:
                return await self._change(request, asked, view, user)
            case Verb.DELETE:
                return await self._delete(request, asked, view, user)
            case Verb.DELETE_COLLECTION:
                return await self._delete_collection(request, asked, view, user)

    def _get(self, asked: Target) -> Stored:
        return self._registry.get(asked.kind, asked.namespace, asked.name)

    def _list(self, request: web.BaseRequest, asked: Target, view: View) -> web.Response:
        query = request.query
        selection = _selection(request, asked)
        limit = number(query, "limit")
        after, at = self._start(request, asked)
        try:
            snapshot = self._registry.store.list(
                asked.kind.resource, asked.namespace, after=after, at=at
            )
        except ExpiredError as error:
            raise status.RefusedError(
                f"The provided continue parameter or resource version is too old: {error}; list "
                "again without it",
                status=410,
                reason="Expired",
            ) from error
        page, rest = _page(snapshot.items, selection, limit)
        metadata: dict[str, Any] = {"resourceVersion": str(snapshot.revision)}
        if rest:
            last = page[-1].key
            token = Continue(snapshot.revision, last.namespace, last.name)
            metadata["continue"] = base64.urlsafe_b64encode(msgspec.json.encode(token)).decode()
            if selection.is_empty:
                metadata["remainingItemCount"] = rest
        return _json(representation.many(view, page, metadata))

    def _start(self, request: web.BaseRequest, asked: Target) -> tuple[Key | None, int | None]:
        """Return behind which key a list begins, and as of which revision; None: the latest."""
        query = request.query
        if text := query.get("continue", ""):
            try:
                token = msgspec.json.decode(base64.urlsafe_b64decode(text), type=Continue)
            except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
                raise status.bad_request(f"continue key is not valid: {error}") from error
            key = Key(asked.kind.resource, token.namespace, token.name)
            return key, token.revision
        revision = number(query, "resourceVersion")
        if revision > self._registry.store.revision:
            raise _too_large(revision, self._registry.store.revision)
        return None, revision if query.get("resourceVersionMatch") == "Exact" else None

    async def _watch(
        self, request: web.BaseRequest, asked: Target, view: View
    ) -> web.StreamResponse:
        query = request.query
        sends_initial = is_true(query, "sendInitialEvents")
        bookmarks = is_true(query, "allowWatchBookmarks")
        if sends_initial and query.get("resourceVersionMatch") != "NotOlderThan":
            raise status.RefusedError(
                "ListOptions.meta.k8s.io is invalid: resourceVersionMatch: Forbidden: "
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                status=422,
                reason="Invalid",
            )
        since = number(query, "resourceVersion")
        explicit = query.get("sendInitialEvents", "") != ""
        starts_with_objects = sends_initial or (since == 0 and not explicit)
        return await watching.stream(
            request,
            self._registry.store,
            WatchRequest(
                view=view,
                selection=_selection(request, asked),
                namespace=asked.namespace,
                since=None if starts_with_objects else since or self._registry.store.revision,
                wants_bookmarks=bookmarks,
                wants_end_mark=sends_initial and bookmarks,
                timeout_s=watching.timeout(number(query, "timeoutSeconds")),
            ),
        )

    async def _create(
        self, request: web.BaseRequest, asked: Target, view: View, user: User
    ) -> web.Response:
        stored = await self._registry.create(
            asked.kind, asked.namespace, await _body(request), _options(request, asked, user)
        )
        return self._written(asked, view, stored, 201)

    async def _change(
        self, request: web.BaseRequest, asked: Target, view: View, user: User
    ) -> web.Response:
        options = _options(request, asked, user)
        kind, namespace, name = asked.kind, asked.namespace, asked.name
        if asked.verb is Verb.UPDATE:
            body = await _body(request)
            stored = await self._registry.change(kind, namespace, name, lambda _: body, options)
            return self._written(asked, view, stored)
        patch = patching.read(kind, request.content_type, await request.read())
        if not isinstance(patch, patching.ApplyPatch):
            stored = await self._registry.change(kind, namespace, name, patch.applied, options)
            return self._written(asked, view, stored)
        if not request.query.get("fieldManager"):
            raise status.bad_request("PatchOptions: fieldManager is required for apply patch")
        apply = Apply(
            kind=kind,
            config=patch.config,
            manager=options.manager,
            force=Force.YES if is_true(request.query, "force") else Force.NO,
            part=asked.part,
        )
        options = msgspec.structs.replace(options, operation=Operation.APPLY)
        stored, is_new = await self._registry.apply(namespace, name, apply, options)
        return self._written(asked, view, stored, 201 if is_new else 200)

    def _written(self, asked: Target, view: View, stored: Stored, code: int = 200) -> web.Response:
        """Answer with what was stored, and with what its writer should know of it."""
        answer = _json(representation.one(view, stored), code)
        if asked.part is Part.OBJECT:
            answer.headers.extend(warning.headers(self._warn(stored.object)))
        return answer

    async def _delete(
        self, request: web.BaseRequest, asked: Target, view: View, user: User
    ) -> web.Response:
        body = await _delete_options(request)
        options = _options(request, asked, user, body)
        deleted = await self._registry.delete(
            asked.kind, asked.namespace, asked.name, _preconditions(body), options
        )
        if deleted.is_waiting:
            return _json(representation.one(view, deleted.stored))
        uid = deleted.stored.copy()["metadata"].get("uid", "")
        return _json(msgspec.json.encode(status.success(asked.kind, asked.name, uid)))

    async def _delete_collection(
        self, request: web.BaseRequest, asked: Target, view: View, user: User
    ) -> web.Response:
        body = await _delete_options(request)
        options = _options(request, asked, user, body)
        selection = _selection(request, asked)
        items = self._registry.store.list(asked.kind.resource, asked.namespace).items
        chosen, _ = _page(items, selection, 0)
        for stored in chosen:
            key = stored.key
            try:
                await self._registry.delete(
                    asked.kind, key.namespace, key.name, Preconditions(), options
                )
            except status.RefusedError as error:
                if error.status != 404:  # somebody else deleted it: fine
                    raise
        revision = {"resourceVersion": str(self._registry.store.revision)}
        return _json(representation.many(view, chosen, revision))


def _json(body: bytes, code: int = 200) -> web.Response:
    return web.Response(body=body, status=code, content_type=JSON)


def _page(items: Sequence[Stored], selection: Filter, limit: int) -> tuple[list[Stored], int]:
    """Return the selected items up to *limit* (0: all) and how many items are left behind them."""
    if selection.is_empty:
        page = list(items[:limit] if limit else items)
        return page, len(items) - len(page)
    page = []
    for index, item in enumerate(items):
        if selection.matches(item.object):
            page.append(item)
            if len(page) == limit:
                return page, len(items) - index - 1
    return page, 0


def _selection(request: web.BaseRequest, asked: Target) -> Filter:
    query = request.query
    return parse_filter(asked.kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))


def _include(request: web.BaseRequest) -> Include:
    try:
        return Include(request.query.get("includeObject", Include.METADATA))
    except ValueError as error:
        raise status.bad_request("includeObject is Metadata, Object or None") from error


def _options(
    request: web.BaseRequest, asked: Target, user: User, body: Object | None = None
) -> Options:
    query = request.query
    dry_run = query.getall("dryRun", []) or (body or {}).get("dryRun") or []
    if dry_run not in ([], ["All"]):
        raise status.bad_request(f"dryRun: {dry_run}: the only supported value is All")
    agent = request.headers.get("User-Agent", "unknown").split("/", 1)[0]
    return Options(
        user=user,
        part=asked.part,
        dry_run=bool(dry_run),
        manager=query.get("fieldManager") or agent,
    )


async def _body(request: web.BaseRequest) -> Any:
    if request.content_type == protobuf.CONTENT_TYPE:
        return protobuf.decode(await request.read())
    if request.content_type not in BODY_TYPES:
        raise status.unsupported_media_type(request.content_type, [JSON])
    try:
        return msgspec.json.decode(await request.read())
    except msgspec.DecodeError as error:
        raise status.bad_request(f"the body is not JSON: {error}") from error


async def _delete_options(request: web.BaseRequest) -> Object:
    if not request.can_read_body:
        return {}
    body = await _body(request)
    return body if isinstance(body, dict) else {}


def _preconditions(body: Object) -> Preconditions:
    found = body.get("preconditions") or {}
    return Preconditions(found.get("uid") or "", found.get("resourceVersion") or "")


def _too_large(asked: int, current: int) -> status.RefusedError:
    return status.RefusedError(
        f"Timeout: Too large resource version: {asked}, current: {current}",
        status=504,
        reason="Timeout",
        details={
            "causes": [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ],
            "retryAfterSeconds": 1,
        },
    )
