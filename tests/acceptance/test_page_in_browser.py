"""The web page in Chromium: live counts, no error, no request elsewhere, nothing that axe objects to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_core_python
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.chromium import chromium
from tests.support.factories import connect, make_definition, make_items
from tests.support.gateway import ServedApi, serving

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
    with connect(folder) as client, serving(client) as served:
        yield served


@pytest.mark.slow
def test_a_person_follows_a_batch_finds_the_cause_and_repairs_it(
    browser: webdriver.Chrome, api: ServedApi, folder: Path
) -> None:
    assert api.client is not None
    batch = api.client.submit(make_items(12), definition=make_definition(folder, CLASSIFY, enrich=False))
    batch.pause()
    browser.get(f"{api.url}/ui/batches/{batch.id}")
    assert "12" in browser.find_element(By.ID, "live").text
    press(browser, "Resume")
    # The page reloads itself when the stream says that the batch is over.
    wait_for(browser, lambda: "12 of 12" in browser.find_element(By.ID, "live").text)
    dead = browser.find_element(By.CSS_SELECTOR, "[data-count=dead]").text
    assert dead == str(batch.progress().dead)
    if dead != "0":
        (next(folder.glob("callables_*.py")).parent / "cured").touch()
    browser.get(f"{api.url}/ui/items/{batch.id}-3")
    if "the model has no number 3" in browser.page_source:
        press(browser, "Replay")
        assert "The item runs again" in browser.find_element(By.CSS_SELECTOR, ".message").text
        batch.wait(timeout=SECONDS)
        browser.refresh()
        assert "succeeded" in browser.find_element(By.TAG_NAME, "main").text
    assert complaints(browser, api) == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: webdriver.Chrome, api: ServedApi, folder: Path, scheme: str) -> None:
    assert api.client is not None
    batch = api.client.submit(make_items(12), definition=make_definition(folder, CLASSIFY, enrich=False))
    batch.wait(timeout=SECONDS)
    emulate = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", emulate)
    pages = ("/ui", f"/ui/batches/{batch.id}", f"/ui/batches/{batch.id}/cancel", f"/ui/items/{batch.id}-3", "/ui/login")
    for path in pages:
        browser.get(api.url + path)
        assert violations(browser) == [], path
        for width in (320, 768, 1280):
            browser.set_window_size(width, 900)
            assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"), path
    assert complaints(browser, api) == []


@pytest.mark.slow
def test_the_page_works_without_scripts(browser: webdriver.Chrome, api: ServedApi, folder: Path) -> None:
    assert api.client is not None
    batch = api.client.submit(make_items(2), definition=make_definition(folder, CLASSIFY, enrich=False))
    batch.wait(timeout=SECONDS)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(f"{api.url}/ui")
        browser.find_element(By.LINK_TEXT, batch.id).click()
        assert "2 of 2" in browser.find_element(By.ID, "live").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def press(browser: webdriver.Chrome, label: str) -> None:
    browser.find_element(By.XPATH, f"//button[normalize-space()='{label}']").click()


def wait_for(browser: webdriver.Chrome, condition: Any) -> None:
    WebDriverWait(browser, SECONDS, ignored_exceptions=[Exception]).until(lambda _: condition())


def violations(browser: webdriver.Chrome) -> list[str]:
    """Return what axe finds wrong with the page that is open."""
    # By the debugger: the page's own policy lets no script in.
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
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
