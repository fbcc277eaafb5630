"""SQS: the messages of a queue, hidden from others while they are accepted, and deleted after that."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any, TypeVar

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from pipeline.domain.urls.intake_source import SqsPlace
from pipeline.errors import InvalidSettings, SourceUnavailable
from pipeline.intakes.rules.messages import Chunk, IntakeMessage
from pipeline.intakes.sources.acknowledged_source import AcknowledgedSource
from pipeline.intakes.sources.background_loop import BackgroundLoop
from pipeline.intakes.sources.source import IntakeReader, SourceMissing

#: Seconds that a message is hidden from others; renewed at half while it is held.
VISIBILITY_SECONDS = 120
#: Messages of one request, and requests at once.
GROUP, REQUESTS = 10, 16
#: Seconds for an answer, and for all of them together.
_TIMEOUT, _PATIENCE = 10.0, 60.0

_MISSING = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NonExistentQueue"}
_NOT_PERMITTED = {"AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "SignatureDoesNotMatch"}
_NOT_PERMITTED |= {"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidSecurity"}
_NOT_PERMITTED |= {"MissingAuthenticationToken", "AuthFailure", "OptInRequired", "KmsAccessDenied"}

T = TypeVar("T")
#: A message as SQS gives it.
_Received = dict[str, Any]


class SqsQueue(AcknowledgedSource):
    """Takes messages of a queue. Several processes may share it."""

    def __init__(self, place: SqsPlace, options: Mapping[str, str], shown: str, reader: IntakeReader) -> None:
        self._place, self._shown = place, shown
        self._held: list[_Received] = []
        self._stack = AsyncExitStack()
        self._loop = BackgroundLoop("intake-sqs")
        try:
            self._call(self._open(options))
        except BaseException:
            self.close()
            raise

    def take(self, limit: int, seconds: float) -> Chunk:
        self._call(self._receive(limit, seconds))
        return Chunk([IntakeMessage(each["Body"].encode(), message_id=each["MessageId"]) for each in self._held])

    def keep_alive(self) -> None:
        """Do nothing: nothing is held, and there is no connection."""

    def confirm(self) -> None:
        held, self._held = self._held, []
        # One that cannot be deleted comes again, and is dropped then.
        self._call(self._in_groups(self._client.delete_message_batch, held))

    def put_back(self) -> None:
        held, self._held = self._held, []
        self._call(self._hide(held, 0))

    def backlog(self, positions: Mapping[str, str]) -> int | None:
        """Return the messages of the queue, those included that are in the hands of some process."""
        found = self._call(self._attributes("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"))
        return sum(int(each) for each in found.values())

    def close(self) -> None:
        if self._held:
            with suppress(SourceUnavailable, InvalidSettings):
                self.put_back()
        with suppress(Exception):
            self._loop.call(self._stack.aclose(), _TIMEOUT)
        self._loop.close()

    async def _open(self, options: Mapping[str, str]) -> None:
        self._client = await self._stack.enter_async_context(
            get_session().create_client(
                "sqs",
                region_name=self._place.region,
                endpoint_url=options.get("endpoint"),
                # Without keys: those of the environment, as everything on AWS finds them.
                aws_access_key_id=options.get("access_key_id"),
                aws_secret_access_key=options.get("secret_access_key"),
                aws_session_token=options.get("session_token"),
                config=AioConfig(
                    connect_timeout=5,
                    read_timeout=_TIMEOUT,
                    retries={"total_max_attempts": 2},
                    max_pool_connections=REQUESTS,
                ),
            )
        )
        base = str(self._client.meta.endpoint_url).rstrip("/")
        self._url = f"{base}/{self._place.account}/{self._place.queue}"
        await self._attributes("QueueArn")
        self._keeping = asyncio.create_task(self._keep())

    async def _attributes(self, *names: str) -> dict[str, str]:
        found = await self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=list(names))
        return dict(found.get("Attributes", {}))

    async def _receive(self, limit: int, seconds: float) -> None:
        """Wait for messages with one request; if it comes back full, send more at once."""
        full = min(limit, GROUP)
        if await self._receive_group(full, round(seconds)) < full:
            return
        while missing := limit - len(self._held):
            sizes = [min(GROUP, missing - start) for start in range(0, min(missing, GROUP * REQUESTS), GROUP)]
            found = await asyncio.gather(*(self._receive_group(size, 0) for size in sizes))
            if sum(found) <= sum(sizes) // 2:
                return

    async def _receive_group(self, size: int, seconds: int) -> int:
        found = await self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=size,
            WaitTimeSeconds=seconds,
            VisibilityTimeout=VISIBILITY_SECONDS,
        )
        messages = found.get("Messages", [])
        # At once: those of requests that succeed while another fails are given back.
        self._held += messages
        return len(messages)

    async def _keep(self) -> None:
        """Hide what is held from others for longer, for as long as it takes to accept it."""
        while True:
            await asyncio.sleep(VISIBILITY_SECONDS / 2)
            # If it fails, messages may come again, and are dropped then.
            with suppress(ClientError, BotoCoreError, OSError):
                await self._hide(list(self._held), VISIBILITY_SECONDS)

    async def _hide(self, messages: Sequence[_Received], seconds: int) -> None:
        change = self._client.change_message_visibility_batch
        await self._in_groups(change, messages, VisibilityTimeout=seconds)

    async def _in_groups(self, request: Any, messages: Sequence[_Received], **given: int) -> None:
        entries = [
            {"Id": str(number % GROUP), "ReceiptHandle": each["ReceiptHandle"], **given}
            for number, each in enumerate(messages)
        ]
        groups = [entries[start : start + GROUP] for start in range(0, len(entries), GROUP)]
        limit = asyncio.Semaphore(REQUESTS)

        async def send(group: list[dict[str, Any]]) -> None:
            async with limit:
                await request(QueueUrl=self._url, Entries=group)

        await asyncio.gather(*map(send, groups))

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        with self._explained():
            return self._loop.call(coroutine, _PATIENCE)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (NoCredentialsError, PartialCredentialsError):
            raise InvalidSettings(
                f"{self._shown} needs credentials; set those of AWS in the environment, or name a connection"
            ) from None
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code in _MISSING:
                raise SourceMissing(f"{self._shown}: there is no such queue; create it, or mend its name") from None
            if code in _NOT_PERMITTED:
                raise InvalidSettings(f"{self._shown} refuses the credentials: {code}") from None
            raise SourceUnavailable(f"{self._shown} does not answer: {code}") from None
        except (BotoCoreError, OSError, TimeoutError) as error:
            raise SourceUnavailable(f"{self._shown} does not answer: {type(error).__name__}") from None
