"""Finds the operation that a request is for: by the beginning of its path, then by the path, then by the method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from starlette.exceptions import HTTPException
from starlette.routing import Match, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

#: The prefix of what is versioned, and never cached.
API = "/v1"


class OperationRoutes:
    """The routes of all operations: Starlette would try them one by one, and know one method of each path."""

    def __init__(self, routes: Iterable[Route | WebSocketRoute]) -> None:
        ordered = sorted(routes, key=lambda each: (_group(each.path), _vagueness(each.path), each.path))
        self._groups = {
            group: [_Path(list(of_path)) for _, of_path in groupby(members, key=lambda each: each.path)]
            for group, members in groupby(ordered, key=lambda each: _group(each.path))
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = local_path(scope)
        # Nothing is called so, and PostgreSQL refuses to look for it.
        candidates = () if "\0" in path else self._groups.get(_group(path), ())
        for each in candidates:
            found = each.matched(scope)
            if found is not None:
                scope.update(found)
                await each.answer(scope, receive, send)
                return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        raise HTTPException(404)


class _Path:
    """A path and what can be done with it."""

    def __init__(self, routes: list[Route | WebSocketRoute]) -> None:
        self._by_method = {
            method: each for each in routes if isinstance(each, Route) for method in sorted(each.methods or ())
        }
        self._socket = next((each for each in routes if isinstance(each, WebSocketRoute)), None)
        self._allowed = ", ".join(sorted({*self._by_method, "OPTIONS"}))

    def matched(self, scope: Scope) -> Mapping[str, object] | None:
        """Return what a request's scope gains if its path is this one."""
        for each in filter(None, (*self._by_method.values(), self._socket)):
            match, found = each.matches(scope)
            if match is not Match.NONE:
                return found
        return None

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if self._socket is None:
                await send({"type": "websocket.close", "code": 1000})
            else:
                await self._socket.handle(scope, receive, send)
            return
        route = self._by_method.get(scope["method"])
        if route is None:
            raise HTTPException(405, headers={"Allow": self._allowed})
        await route.handle(scope, receive, send)


def local_path(scope: Scope) -> str:
    """Return the path without what a proxy serves this API under."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("app_root_path", scope.get("root_path", "")))


def _group(path: str) -> str:
    """Return what a path is grouped by: `/v1/batches` for `/v1/batches/{batch}/results`."""
    return "/".join(path.split("/", 3)[:3]) if path.startswith(API + "/") else ""


def _vagueness(path: str) -> tuple[bool, int, int]:
    """Return an order in which the path that says more comes first: `/keys/mine` before `/keys/{key}`."""
    return ":path" in path and path.endswith("}"), path.count("{"), -path.count("/")
