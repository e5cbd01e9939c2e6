"""Fixtures of the browser tests: one Chromium and one Jupyter server of each kind for the whole run."""

import pytest
from driver import ARGUMENTS, CHROMIUM, Server, Tab


@pytest.hookimpl(tryfirst=True)  # before anybody selects by mark
def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium. Skips, and says how to get it, where there is none."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("no Chromium found: install the package 'chromium', or say where it is in CHROMIUM=...")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """A JupyterLab server; `lab.notebook(name, cells)` writes a notebook for it."""
    with Server(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="session")
def notebook7(chromium, tmp_path_factory):
    """A Notebook 7 server."""
    with Server(tmp_path_factory.mktemp("notebook7"), app="notebook") as server:
        yield server


@pytest.fixture
def tab(chromium):
    """A new page, 1280 x 900. At the end: no error in its console, and no request has left the machine."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    tab = Tab(context.new_page())
    tab.page.set_default_timeout(15_000)
    yield tab
    context.close()
    assert not tab.outside, tab.outside
    assert not tab.errors, tab.errors
