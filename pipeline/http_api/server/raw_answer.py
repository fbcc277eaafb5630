"""Answers that the protocol writes itself, where no application was asked."""

from __future__ import annotations

import secrets
from email.utils import formatdate
from http import HTTPStatus

from pipeline.http_api.problems import Problem


def new_request_id() -> str:
    """Return an id for a request that brings none."""
    return "req_" + secrets.token_hex(10)


def raw_answer(problem: Problem) -> bytes:
    """Return a whole response that ends its connection."""
    request_id = new_request_id()
    answer = problem.response(request_id)
    answer.headers["X-Request-Id"] = request_id
    answer.headers["Connection"] = "close"
    answer.headers["Date"] = formatdate(usegmt=True)
    lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}".encode()]
    lines += [name + b": " + value for name, value in answer.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
