"""The web page in Chromium: live counts, no error, no request elsewhere, nothing that axe objects to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import axe_core_python
import pytest

from tests.support.chromium import chromium
from tests.support.factories import connect, make_definition, make_items
from tests.support.gateway import ServedApi, serving, wait_until
from tests.support.lazy import Lazy
from tests.support.receiver import SECRET, Receiver

if TYPE_CHECKING:
    from selenium import webdriver

by = Lazy("selenium.webdriver.common.by")
ui = Lazy("selenium.webdriver.support.ui")

AXE = Path(axe_core_python.__file__).parent / "axe.min.js"
SECONDS = 60
#: Fails an item until a file exists, so that the same item succeeds when it is replayed.
CLASSIFY = """
from pathlib import Path
from pipeline import Permanent
CURED = Path(__file__).with_name("cured")
def classify(item):
    if "3" in item.text and not CURED.exists():
        raise Permanent("the model has no number 3")
    return "a label"
"""
#: Does nothing before a file exists.
GATED = CLASSIFY.replace(
    "def classify(item):\n",
    """import time
OPEN = Path(__file__).with_name("open")
def classify(item):
    while not OPEN.exists():
        time.sleep(0.01)
""",
)
#: Answers with what it was asked.
HOSTILE = """
from pipeline import Permanent
def classify(item):
    if item.text == "3" or len(item.text) > 500:
        raise Permanent("<script>document.title = 'broken'</script> \u202e " + "x" * 10_000)
    return item.text
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Chromium, with a profile of its own."""
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    settings = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8"}
    with connect(folder, **settings) as client, serving(client) as served:
        yield served


@pytest.fixture(scope="module")
def hostile(api: ServedApi, folder: Path) -> Iterator[list[str]]:
    """Pages of a batch whose keys, labels, errors and URLs are what somebody would break a page with."""
    assert api.client is not None
    texts = [
        "<script>document.title = 'broken'</script>",
        "\u202eright to left \u05e9\u05dc\u05d5\u05dd",
        "W" * 10_000,
        "3",
    ]
    items = [{"id": text[:500], "text": text} for text in texts]
    with Receiver() as receiver:
        receiver.refusal = 503
        batch = api.client.submit(
            items,
            definition=make_definition(folder, HOSTILE, enrich=False, input={"text": "text", "key": "id"}),
            callback_url=f"{receiver.url}/{'p' * 500}",
        )
        batch.wait(timeout=SECONDS)
        wait_until(lambda: receiver.refused >= len(items))
        endpoint = api.client.endpoint(receiver.url)
        endpoint.disable("<b>maintenance</b> " + "n" * 150)
        deliveries = list(api.client.deliveries(batch=batch.id))
        path = f"/ui/endpoints/{quote(endpoint.origin, safe='')}"
        yield [
            "/ui",
            "/ui?definition=nothing",
            f"/ui/batches/{batch.id}",
            f"/ui/batches/{batch.id}/items",
            f"/ui/batches/{batch.id}/replay-dead",
            *(f"/ui/items/{batch.id}-{position}?payload=true" for position in (2, 3)),
            f"/ui/items/{batch.id}-4/edit",
            "/ui/dead",
            f"/ui/dead?batch={batch.id}",
            "/ui/deliveries",
            f"/ui/deliveries/{deliveries[0].id}",
            "/ui/endpoints",
            path,
            f"{path}/disable",
            "/ui/login",
        ]


@pytest.mark.slow
def test_a_person_follows_a_batch_finds_the_cause_and_repairs_it(
    browser: webdriver.Chrome, api: ServedApi, folder: Path
) -> None:
    assert api.client is not None
    batch = api.client.submit(make_items(13), definition=make_definition(folder, GATED, enrich=False))
    batch.pause()
    browser.get(f"{api.url}/ui/batches/{batch.id}")
    assert "0 of 13" in summary(browser)
    press(browser, "Resume")
    (folder / "open").touch()
    # The page reloads itself when the stream says that the batch is over.
    wait_for(browser, lambda: "13 of 13" in summary(browser) and count(browser, "dead") == "2")
    browser.find_element(by.By.PARTIAL_LINK_TEXT, "Replay 2").click()
    (folder / "cured").touch()
    press(browser, "Replay 2 items")
    wait_for(browser, lambda: "13 of 13" in summary(browser) and count(browser, "dead") == "0")
    assert batch.progress().succeeded == 13
    (folder / "cured").unlink()
    assert complaints(browser, api) == []


@pytest.mark.slow
def test_a_person_corrects_a_payload(browser: webdriver.Chrome, api: ServedApi, folder: Path) -> None:
    assert api.client is not None
    batch = api.client.submit([{"text": "3"}], definition=make_definition(folder, CLASSIFY, enrich=False))
    batch.wait(timeout=SECONDS)
    browser.get(f"{api.url}/ui/items/{batch.id}-1")
    browser.find_element(by.By.PARTIAL_LINK_TEXT, "another payload").click()
    field = browser.find_element(by.By.ID, "payload")
    field.clear()
    field.send_keys('{"text": "4"')
    press(browser, "Replay with this payload")
    wait_for(browser, lambda: "line 1, column 13" in browser.find_element(by.By.ID, "payload-error").text)
    field = browser.switch_to.active_element
    assert (field.get_attribute("id"), field.get_attribute("value")) == ("payload", '{"text": "4"')
    field.clear()
    field.send_keys('{"text": "4"}')
    press(browser, "Replay with this payload")
    wait_for(browser, lambda: "new payload" in browser.find_element(by.By.CSS_SELECTOR, ".message").text)
    batch.wait(timeout=SECONDS)
    browser.refresh()
    assert "succeeded" in browser.find_element(by.By.TAG_NAME, "h1").text
    # The one complaint is about the answer 422.
    assert [line for line in complaints(browser, api) if "422" not in line] == []


@pytest.mark.slow
def test_a_list_of_batches_is_live(browser: webdriver.Chrome, api: ServedApi, folder: Path) -> None:
    assert api.client is not None
    definition = make_definition(folder, CLASSIFY, enrich=False)
    batch = api.client.submit(make_items(2), definition=definition)
    batch.pause()
    browser.get(f"{api.url}/ui")
    row = browser.find_element(by.By.CSS_SELECTOR, f"[data-batch='{batch.id}']")
    assert "0 of 2" in row.text
    batch.resume()
    wait_for(browser, lambda: "completed" in row.text and "2 of 2" in row.text)
    other = api.client.submit(make_items(1), definition=definition)
    wait_for(browser, lambda: "Show 1 new batch" in browser.find_element(by.By.CSS_SELECTOR, "[data-news]").text)
    browser.find_element(by.By.LINK_TEXT, "Show 1 new batch").click()
    wait_for(browser, lambda: browser.find_element(by.By.LINK_TEXT, other.id))


@pytest.mark.conformance
def test_every_page_fits_is_accessible_and_shows_what_is_hostile_as_text(
    browser: webdriver.Chrome, api: ServedApi, hostile: list[str]
) -> None:
    complaints(browser, api)
    found = []
    for path in hostile:
        browser.get(api.url + path)
        assert "broken" not in browser.title
        assert browser.find_elements(by.By.CSS_SELECTOR, "main script, main b") == []
        for width in (1280, 768, 320):
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            if browser.execute_script("return document.documentElement.scrollWidth > window.innerWidth"):
                found.append(f"{path} is wider than {width}")
        found += [f"{path}: {each}" for each in violations(browser)]
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert found + complaints(browser, api) == []


@pytest.mark.conformance
def test_every_page_is_legible_in_the_dark(browser: webdriver.Chrome, api: ServedApi, hostile: list[str]) -> None:
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    found = []
    for path in hostile:
        browser.get(api.url + path)
        found += [f"{path}: {each}" for each in violations(browser, "color-contrast")]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert found == []


@pytest.mark.slow
def test_the_page_works_without_scripts(browser: webdriver.Chrome, api: ServedApi, folder: Path) -> None:
    assert api.client is not None
    batch = api.client.submit(make_items(3), definition=make_definition(folder, CLASSIFY, enrich=False))
    batch.wait(timeout=SECONDS)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(f"{api.url}/ui")
        browser.find_element(by.By.LINK_TEXT, batch.id).click()
        assert "3 of 3" in summary(browser)
        browser.find_element(by.By.LINK_TEXT, "dead").click()
        browser.find_element(by.By.CSS_SELECTOR, "tbody th a").click()
        browser.find_element(by.By.LINK_TEXT, "Show the payload").click()
        assert "text number 3" in browser.find_element(by.By.TAG_NAME, "pre").text
        press(browser, "Replay")
        assert "The item runs again" in browser.find_element(by.By.CSS_SELECTOR, ".message").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def summary(browser: webdriver.Chrome) -> str:
    return browser.find_element(by.By.ID, "summary").text


def count(browser: webdriver.Chrome, name: str) -> str:
    return browser.find_element(by.By.CSS_SELECTOR, f"[data-count={name}]").text


def press(browser: webdriver.Chrome, label: str) -> None:
    browser.find_element(by.By.XPATH, f"//button[normalize-space()='{label}']").click()


def wait_for(browser: webdriver.Chrome, condition: Any) -> None:
    ui.WebDriverWait(browser, SECONDS, ignored_exceptions=[Exception]).until(lambda _: condition())


def violations(browser: webdriver.Chrome, *rules: str) -> list[str]:
    """Return what axe finds wrong with the page that is open, by all rules or by these."""
    # By the debugger: the page's own policy lets no script in.
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    options = {"runOnly": list(rules)} if rules else {}
    found = browser.execute_async_script("axe.run(arguments[0]).then(arguments[arguments.length - 1])", options)
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]


def complaints(browser: webdriver.Chrome, api: ServedApi) -> list[str]:
    """Return errors on the console, and requests to any other host."""
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    elsewhere = [
        line["message"][:200]
        for line in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in line["message"]
        and '"url":"http' in line["message"]
        and f'"url":"{api.url}' not in line["message"]
    ]
    return errors + elsewhere
