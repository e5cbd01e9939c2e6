"""The README's Python example runs as it stands (with a smaller budget), and its links lead somewhere."""

import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("data/*.md")] if p.name != "article.md"
]


def test_python_example_runs(tmp_path, monkeypatch, tiny_shapes):
    import sslkit

    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(blocks) >= 1
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "pictures").mkdir(parents=True)
    for name in ("a_1", "a_2", "b_1"):
        Image.new("RGB", (40, 30), "red").save(tmp_path / "my" / "pictures" / f"{name}.png")
    monkeypatch.setattr(sslkit.datasets, "load", lambda name: tiny_shapes)
    for block in blocks:
        short = block.replace("minutes=3", "steps=4, batch_size=32, marks=2, probe=20")
        short = short.replace("batch_size=256", "batch_size=32").replace("steps=1000", "steps=4, batch_size=32")
        assert "minutes=" not in short
        exec(compile(short, "README.md", "exec"), {})
    assert (tmp_path / "runs" / "mine" / "report.html").exists()
    assert (tmp_path / "runs" / "encoder" / "encoder.safetensors").exists()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_resolve(document):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
        if not target.startswith(("http", "mailto")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_changelog_names_the_version():
    import sslkit

    assert f"## {sslkit.__version__}" in (ROOT / "CHANGELOG.md").read_text()
