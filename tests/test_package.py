"""The wheel in a clean environment: nothing but pip, and it does its job without the repository."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_wheel_has_data_and_licences_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "sslkit/_data/emoji.npz",
        "sslkit/_data/fashion.npz",
        "sslkit/_data/words.npz",
        "sslkit/report.css",
        "sslkit/widgets/explorer.js",
        "sslkit/widgets/explorer.css",
    ):
        assert name in names
    assert sum(name.startswith("sslkit/_data/LICENSES/") for name in names) >= 3
    assert not [name for name in names if name.startswith(("tests/", "notebooks/", "data/"))]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["wheel", "editable"])
def test_install_in_a_clean_environment(wheel, tmp_path, how):
    """The libraries come from this environment by a .pth file, sslkit from what is being tested."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    libraries = next(p for p in sys.path if p.endswith("site-packages"))
    copy = tmp_path / "copy"
    if how == "editable":
        subprocess.run(["git", "clone", "-q", ROOT, copy], check=True)
        install = ["--editable", copy]
    else:
        install = [wheel]
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *install], check=True)
    (site / "libraries.pth").write_text(libraries)
    code = (
        "import sslkit, sys; from pathlib import Path\n"
        "assert {source!r} in sslkit.__file__, sslkit.__file__\n"
        "for name in ('shapes', 'emoji', 'fashion', 'digits'): print(sslkit.datasets.load(name))\n"
        "run = sslkit.pretrain('simclr', 'digits', steps=5, progress=False)\n"
        "print(run.report('out'))"
    ).format(source="copy" if how == "editable" else "site-packages")
    result = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "report.html").exists()
    assert "emoji" in result.stdout
