"""SQS: groups of at most ten messages, each answered for itself."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from contextlib import AsyncExitStack
from typing import Any, cast

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)

from pipeline.delivery.rules.delivery import AUTH_REFUSED, REJECTED, TARGET_MISSING, THROTTLED, TIMEOUT, TOO_LARGE
from pipeline.delivery.rules.message import TargetMessage
from pipeline.delivery.targets.link import Place, TargetFailure
from pipeline.delivery.webhook.errors import ConnectionLost
from pipeline.domain.urls.route import Route, SqsRoute

EVENT_PREFIX = "ce-"
#: Messages of one request, the bytes of their bodies and attributes, and requests at once.
GROUP, GROUP_BYTES, REQUESTS = 10, 2**20, 16
#: Beside names and values of attributes.
_TYPE_BYTES = len("String")
_LONGEST_GROUP_ID = 128

_MISSING = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NonExistentQueue"}
_NOT_PERMITTED = {"AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "SignatureDoesNotMatch"}
_NOT_PERMITTED |= {"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidSecurity"}
_NOT_PERMITTED |= {"MissingAuthenticationToken", "AuthFailure", "OptInRequired"}
_THROTTLED = {"Throttling", "ThrottlingException", "RequestThrottled", "OverLimit", "KmsThrottled", "SlowDown"}
_TOO_LARGE = {"InvalidMessageContents", "MessageTooLong", "AWS.SimpleQueueService.BatchRequestTooLong"}
_TOO_LARGE |= {"BatchRequestTooLong"}


async def open_link(place: Place) -> SqsLink:
    """Make a client of the region. It connects with the first message."""
    region, account, queue = place.realm.split("/")
    options = place.options
    stack = AsyncExitStack()
    client = await stack.enter_async_context(
        get_session().create_client(
            "sqs",
            region_name=region,
            endpoint_url=options.get("endpoint"),
            # Without keys: those of the environment, as everything on AWS finds them.
            aws_access_key_id=options.get("access_key_id"),
            aws_secret_access_key=options.get("secret_access_key"),
            aws_session_token=options.get("session_token"),
            config=AioConfig(
                connect_timeout=5,
                read_timeout=place.deadline_seconds,
                # The schedule of the delivery decides when to try again.
                retries={"total_max_attempts": 1},
                max_pool_connections=REQUESTS,
            ),
        )
    )
    base = str(client.meta.endpoint_url).rstrip("/")
    return SqsLink(client, stack, f"{base}/{account}/{queue}")


class SqsLink:
    """A client of one queue. What comes while requests are under way goes out together with what follows it."""

    def __init__(self, client: Any, stack: AsyncExitStack, url: str) -> None:
        self._client = client
        self._stack = stack
        self._url = url
        self._waiting: deque[tuple[dict[str, Any], int, asyncio.Future[str]]] = deque()
        self._requests: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        return not self._is_closed

    async def send(self, message: TargetMessage, route: Route) -> str:
        """Send a message and return its MessageId; see `TargetLink.send`."""
        if self._is_closed:
            raise ConnectionLost
        entry, size = _entry(message, cast("SqsRoute", route))
        if size > GROUP_BYTES:
            raise TargetFailure(TOO_LARGE, f"{size:,} bytes; SQS takes {GROUP_BYTES:,}")
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, size, waiting))
        # In the loop's next round: by then, all that is sent at once has come.
        asyncio.get_running_loop().call_soon(self._start)
        return await waiting

    async def close(self) -> None:
        self._is_closed = True
        for request in list(self._requests):
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
        for _, _, waiting in self._waiting:
            _fail(waiting, ConnectionLost())
        await self._stack.aclose()

    def _start(self) -> None:
        while self._waiting and len(self._requests) < REQUESTS:
            request = asyncio.get_running_loop().create_task(self._request(self._group()))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)
            request.add_done_callback(lambda _: self._start())

    def _group(self) -> list[tuple[dict[str, Any], asyncio.Future[str]]]:
        group: list[tuple[dict[str, Any], asyncio.Future[str]]] = []
        left = GROUP_BYTES
        while self._waiting and len(group) < GROUP and self._waiting[0][1] <= left:
            entry, size, waiting = self._waiting.popleft()
            left -= size
            if not waiting.done():
                group.append((entry | {"Id": str(len(group))}, waiting))
        return group

    async def _request(self, group: list[tuple[dict[str, Any], asyncio.Future[str]]]) -> None:
        if not group:
            return
        try:
            found = await self._client.send_message_batch(QueueUrl=self._url, Entries=[entry for entry, _ in group])
        except asyncio.CancelledError:
            self._fail_all(group, ConnectionLost())
            raise
        except Exception as error:
            self._fail_all(group, _failure(error))
            return
        by_id = {entry["Id"]: waiting for entry, waiting in group}
        for taken in found.get("Successful", ()):
            _succeed(by_id.pop(taken["Id"]), taken["MessageId"])
        for refused in found.get("Failed", ()):
            _fail(by_id.pop(refused["Id"]), _refusal(refused))
        for waiting in by_id.values():
            _fail(waiting, TargetFailure("protocol_error", "SQS answered for fewer messages than were sent"))

    @staticmethod
    def _fail_all(group: list[tuple[dict[str, Any], asyncio.Future[str]]], error: Exception) -> None:
        for _, waiting in group:
            _fail(waiting, error)


def _entry(message: TargetMessage, route: SqsRoute) -> tuple[dict[str, Any], int]:
    """Return an entry without its id, and the bytes that count: of the body and of the attributes."""
    # Ten attributes are the limit of SQS, and these are ten: an endpoint's own headers have no place.
    named = {name: value for name, value in message.all_headers(EVENT_PREFIX).items() if name in _ATTRIBUTES}
    entry: dict[str, Any] = {
        "MessageBody": message.body.decode(),
        "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in named.items()},
    }
    if route.is_fifo:
        entry["MessageDeduplicationId"] = message.dedupe_id
        entry["MessageGroupId"] = _group_id(message.item_key if route.group == "key" else message.batch_id)
    attributes = sum(len(name) + len(value.encode()) + _TYPE_BYTES for name, value in named.items())
    return entry, len(message.body) + attributes


_ATTRIBUTES = frozenset(
    {"webhook-id", "webhook-timestamp", "webhook-signature", "webhook-attempt", "content-type"}
    | {f"{EVENT_PREFIX}{name}" for name in ("id", "source", "type", "specversion", "time")}
)


def _group_id(key: str) -> str:
    """Return a key as SQS takes it: up to 128 characters of ASCII without spaces, or a digest."""
    is_fit = 0 < len(key) <= _LONGEST_GROUP_ID and all("!" <= each <= "~" for each in key)
    return key if is_fit else hashlib.sha256(key.encode()).hexdigest()


def _refusal(refused: dict[str, Any]) -> TargetFailure:
    code, said = str(refused.get("Code")), f"{refused.get('Code')}: {refused.get('Message', '')}"
    if code in _THROTTLED:
        return TargetFailure(THROTTLED, said)
    if code in _TOO_LARGE or "bytes" in said:
        return TargetFailure(TOO_LARGE, said)
    return TargetFailure(REJECTED if refused.get("SenderFault") else "unavailable", said)


def _failure(error: Exception) -> Exception:
    if isinstance(error, ClientError):
        return _client_failure(error)
    codes: tuple[tuple[type[BotoCoreError] | tuple[type[BotoCoreError], ...], str], ...] = (
        ((NoCredentialsError, PartialCredentialsError), AUTH_REFUSED),
        (ConnectTimeoutError, "connect_timeout"),
        (ReadTimeoutError, TIMEOUT),
        (SSLError, "tls_verify"),
        (EndpointConnectionError, "connection_refused"),
        (ConnectionClosedError, "connection_reset"),
    )
    for kinds, code in codes:
        if isinstance(error, kinds):
            return TargetFailure(code)
    return ConnectionLost() if isinstance(error, BotoCoreError) else error


def _client_failure(error: ClientError) -> TargetFailure:
    code = str(error.response.get("Error", {}).get("Code"))
    said = f"{code}: {error.response.get('Error', {}).get('Message', '')}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    for codes, meaning in (
        (_MISSING, TARGET_MISSING),
        (_NOT_PERMITTED, AUTH_REFUSED),
        (_THROTTLED, THROTTLED),
        (_TOO_LARGE, TOO_LARGE),
    ):
        if code in codes:
            return TargetFailure(meaning, said)
    return TargetFailure("unavailable" if status >= 500 else "refused", said)


def _succeed(waiting: asyncio.Future[str], word: str) -> None:
    if not waiting.done():
        waiting.set_result(word)


def _fail(waiting: asyncio.Future[str], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
