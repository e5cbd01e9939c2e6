"""Drives a real JupyterLab or Notebook 7 and static pages in headless Chromium, as a person would."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib.resources import files
from pathlib import Path

import nbformat

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# --no-sandbox: needed as root. Most others stop calls of Chromium itself, so that a test can assert that nothing
# leaves the machine. Without --disable-accelerated-2d-canvas screenshots can show a stale canvas.
ARGUMENTS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage", "--disable-accelerated-2d-canvas",
]  # fmt: skip
WHOLE = {"notebook-extension/tracker": {"windowingMode": "none"}}  # every cell stays in the page, so it can be found
NEWS = {"apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}  # Notebook 7 has none
SETTINGS = {"lab": WHOLE | NEWS, "notebook": WHOLE}
APPS = {"lab": ("jupyterlab", "LabApp", "doc/tree"), "notebook": ("notebook", "JupyterNotebookApp", "notebooks")}
CONNECTED = """() => { const c = window.jupyterapp?.shell?.currentWidget?.sessionContext, k = c?.session?.kernel;
    return !!k && c.isReady && k.connectionStatus === 'connected' && k.status === 'idle' }"""


class Server:
    """JupyterLab ("lab") or Notebook 7 ("notebook") on a free port of this machine, apart from the user's own settings."""

    def __init__(self, root: Path, app: str = "lab"):
        self.root, self.app, self.token = Path(root).resolve(), app, secrets.token_hex(16)

    def __enter__(self):
        self.tmp = Path(tempfile.mkdtemp(prefix="jupyter-"))
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        for name, value in SETTINGS[self.app].items():
            file = self.tmp / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(value))
        places = {
            "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython",
        }  # fmt: skip
        module, app, _ = APPS[self.app]
        self.log = (self.tmp / "log").open("wb")
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", module, "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={self.port}",
                "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.root}",
                f"--{app}.expose_app_in_browser=True", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                "--LabApp.extension_manager=readonly", "--LabServerApp.blocked_extensions_uris=",
            ],
            env=os.environ | {name: str(self.tmp / place) for name, place in places.items()},
            stdout=self.log, stderr=subprocess.STDOUT, cwd=self.root,
        )  # fmt: skip
        self.url = f"http://127.0.0.1:{self.port}"
        deadline = time.time() + 90
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api/status?token={self.token}", timeout=2).read()
                return self
            except OSError:
                if self.process.poll() is not None or time.time() > deadline:
                    raise RuntimeError("Jupyter did not start:\n" + (self.tmp / "log").read_text()[-3000:]) from None
                time.sleep(0.2)

    def __exit__(self, *error):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()
        shutil.rmtree(self.tmp, ignore_errors=True)

    def notebook(self, name: str, cells: list[str]) -> str:
        """Write a notebook of code cells into the server's folder. Returns its name."""
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=kernel)
        nbformat.write(book, self.root / f"{name}.ipynb")
        return f"{name}.ipynb"


class Tab:
    """A browser page that remembers what went wrong: console errors, and requests that would leave this machine."""

    def __init__(self, page):
        self.page, self.errors, self.outside = page, [], []
        page.on("console", self._read)
        page.on("pageerror", self._fail)
        page.on("request", lambda request: self._note(request.url))

    def _read(self, message) -> None:
        # JupyterLab asks a kernel about its debugger, also one that is just being restarted.
        if message.type == "error" and not message.text.startswith("Could not restore the debugger state"):
            self.errors.append(message.text)

    def _fail(self, error) -> None:
        if "/static/notebook/notebook_core" not in (error.stack or ""):  # Notebook 7.6 has one of its own when it opens
            self.errors.append(f"pageerror: {error}")

    def _note(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:", "about:")):
            self.outside.append(url)

    def open(self, server: Server, notebook: str) -> None:
        """Open a notebook of the server and wait for its kernel: only the session itself knows when it may be used."""
        self.page.goto(f"{server.url}/{APPS[server.app][2]}/{notebook}?token={server.token}&reset", timeout=60_000)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        self.page.wait_for_function(CONNECTED, timeout=60_000)

    def run_all(self, timeout: int = 120_000) -> None:
        """Run all cells and wait for the last one. Fails if a cell raised an error."""
        self.page.set_default_timeout(timeout)
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.set_default_timeout(15_000)
        errors = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"
        assert not (said := self.page.locator(errors).all_inner_texts()), said

    def run_cell(self, number: int, timeout: int = 60_000) -> str:
        """Run one code cell and return what it printed: the way a test asks the kernel something."""
        cell = self.page.locator(".jp-CodeCell").nth(number)
        cell.locator(".cm-content").click()
        self.page.set_default_timeout(timeout)
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
        self.page.set_default_timeout(15_000)
        return "\n".join(cell.locator(".jp-OutputArea-output").all_inner_texts()).strip()

    def serious(self, selector: str) -> list[str]:
        """What axe-core calls a serious or critical barrier inside the element, one sentence each."""
        self.page.evaluate(files("axe_core_python").joinpath("axe.min.js").read_text())
        found = self.page.evaluate("selector => axe.run(selector)", selector)["violations"]
        return [
            f"{barrier['id']}: {barrier['help']} ({barrier['nodes'][0]['html'][:200]})"
            for barrier in found
            if barrier["impact"] in ("serious", "critical")
        ]
