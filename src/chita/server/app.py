"""The server's front: who asks, which part answers, and every refusal as a ``Status``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from chita.errors import (
    ApiError,
    ChitaError,
    EngineError,
    ExhaustedError,
    InputError,
    UncertainError,
)
from chita.server import discovery, status
from chita.server.join import HostKind, JoinRequest
from chita.server.users import User, user_of
from chita.telemetry.log import logger

if TYPE_CHECKING:
    from chita.server.join import Joining
    from chita.server.rest import Rest

HEALTH = frozenset({"/healthz", "/readyz", "/livez"})
JOIN = "/chita/v1/join"
TOKENS = "/chita/v1/tokens"
AUTHORITY = "/chita/v1/ca"
MAX_BODY_BYTES = 3 * 1024 * 1024  # as kube-apiserver
log = logger("server")


class TokenRequest(msgspec.Struct, frozen=True):
    """What an administrator asks of a new join token."""

    ttl_seconds: int = msgspec.field(default=86400, name="ttlSeconds")


class App:
    """One call per request."""

    def __init__(self, rest: Rest, joining: Joining) -> None:
        self._rest = rest
        self._joining = joining

    async def __call__(  # noqa: PLR0911 - one answer per kind of error
        self, request: web.BaseRequest
    ) -> web.StreamResponse:
        """Answer *request*; raises nothing but cancellation."""
        try:
            return await self._answer(request)
        except web.HTTPRequestEntityTooLarge:
            return _refusal(status.bad_request(f"the body has more than {MAX_BODY_BYTES} bytes"))
        except ApiError as error:
            return _refusal(error)
        except InputError as error:
            return _refusal(status.bad_request(str(error)))
        except ExhaustedError as error:
            return _refusal(_internal(str(error), 507, "InsufficientStorage"))
        except UncertainError as error:
            log.warning("write without answer", path=request.path, reason=str(error))
            return _refusal(_internal(str(error), 504, "Timeout"))
        except EngineError as error:
            log.warning("store refused", path=request.path, reason=str(error))
            return _refusal(_internal(str(error), 503, "ServiceUnavailable"))
        except ChitaError as error:
            log.exception("request failed", path=request.path)
            return _refusal(_internal(str(error), 500, "InternalError"))
        except Exception as error:
            log.exception("request failed", path=request.path)
            return _refusal(_internal(f"{type(error).__name__}: {error}", 500, "InternalError"))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path in HEALTH:
            return web.Response(text="ok")
        if path == JOIN and request.method == "POST":
            return await self._join(request)
        if path == AUTHORITY and request.method == "GET":
            # Public as every certificate: a host that is to join checks its fingerprint.
            return web.Response(
                body=self._joining.authority_pem, content_type="application/x-pem-file"
            )
        user = user_of(request.get_extra_info("peercert"))
        if user is None and path != "/version":
            raise status.unauthorized()
        if request.method == "GET":
            found = discovery.document(path, request.headers.get("Accept", ""))
            if found is not None:
                body, content_type = found
                return web.Response(
                    body=msgspec.json.encode(body), headers={"Content-Type": content_type}
                )
        if user is None:
            raise status.unauthorized()
        if path == TOKENS and request.method == "POST":
            return await self._new_token(request, user)
        return await self._rest.answer(request, user)

    async def _join(self, request: web.BaseRequest) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        has_token = scheme.lower() == "bearer" and self._joining.is_valid(token.strip())
        user = user_of(request.get_extra_info("peercert"))
        if not has_token and user is None:
            raise status.unauthorized()
        try:
            asked = msgspec.json.decode(await request.read(), type=JoinRequest)
        except msgspec.MsgspecError as error:
            raise status.bad_request(f"join: {error}; send node and csr") from error
        # A node that is a member renews its own certificate without a token.
        if not has_token and (user is None or not asked.node or user.node != asked.node):
            raise status.unauthorized()
        if not has_token and asked.host is not HostKind.NODE:
            raise status.bad_request("join: a member does not change what it is; send a join token")
        answer = await self._joining.join(asked)
        log.info("node joined", node=answer.node, mesh_ipv4=answer.mesh_ipv4)
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    async def _new_token(self, request: web.BaseRequest, user: User) -> web.Response:
        if not user.is_admin:
            raise status.RefusedError(
                f'User "{user.name}" cannot create join tokens', status=403, reason="Forbidden"
            )
        try:
            asked = msgspec.json.decode(await request.read() or b"{}", type=TokenRequest)
        except msgspec.MsgspecError as error:
            raise status.bad_request(f"token: {error}") from error
        token = await self._joining.new_token(timedelta(seconds=asked.ttl_seconds))
        return web.Response(text=json.dumps({"token": token}), content_type="application/json")


def _internal(message: str, code: int, reason: str) -> status.RefusedError:
    return status.RefusedError(f"Internal error occurred: {message}", status=code, reason=reason)


def _refusal(error: ApiError) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(status.status_of(error)),
        status=error.status or 500,
        content_type="application/json",
    )
