"""What tests of your own programs need: definitions without a database, a throw-away client, a receiver of callbacks.

Nothing here is for production, and nothing imports pytest: use it with any test runner.
"""

from pipeline.testing.embedded_client import embedded, embedded_async
from pipeline.testing.run_definition import run_definition
from pipeline.testing.sign_webhook import TEST_SECRET, sign_webhook
from pipeline.testing.webhook_receiver import ReceivedWebhook, WebhookReceiver

__all__ = [
    "TEST_SECRET",
    "ReceivedWebhook",
    "WebhookReceiver",
    "embedded",
    "embedded_async",
    "run_definition",
    "sign_webhook",
]
