"""Serve below a path of a proxy, whether the proxy takes that path away or not."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class UnderRootPath:
    """Tells the application the path under which it is known outside.

    Args:
        root_path: begins with a slash and does not end with one; empty: none.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app, self._root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root_path = self._root_path
        if root_path and not scope["path"].startswith(root_path + "/"):
            scope["path"] = root_path + scope["path"]
            scope["raw_path"] = root_path.encode() + scope["raw_path"]
        scope["root_path"] = root_path
        await self._app(scope, receive, send)
