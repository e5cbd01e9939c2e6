"""What others can read: the encoder without sslkit, as ONNX, and training curves in TensorBoard."""

import builtins
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import sslkit
from sslkit import cli, nets
from sslkit.progress import TensorBoard

EXAMPLE = Path(__file__).resolve().parent.parent / "docs" / "load_encoder.py"
QUICK = dict(
    steps=4, batch_size=32, device="cpu", precision="float32", channels_last=False, marks=2, probe=20, progress=False
)


@pytest.fixture(scope="module")
def run(tiny_shapes):
    return sslkit.pretrain("simclr", tiny_shapes, **QUICK)


@pytest.mark.parametrize("method", ["simclr", "quick"])
def test_the_encoder_needs_nothing_of_sslkit(method, tiny_shapes, tmp_path):
    """The example of the documentation, in a process that cannot import sslkit, NumPy's loader or scikit-learn."""
    run = sslkit.pretrain(method, tiny_shapes, **QUICK)
    run.export(tmp_path)
    x = tiny_shapes.test.images.float() / 255
    torch.save(x, tmp_path / "pictures.pt")
    code = f"""
import sys
sys.modules |= dict.fromkeys(["sslkit", "sklearn", "torchvision"])  # importing one of them raises
sys.path.insert(0, {str(EXAMPLE.parent)!r})
import torch, load_encoder
encoder, card = load_encoder.load({str(tmp_path)!r})
assert card["dim"] == {run.encoder.dim}
with torch.no_grad():
    torch.save(encoder(torch.load({str(tmp_path / "pictures.pt")!r})), {str(tmp_path / "features.pt")!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert torch.allclose(torch.load(tmp_path / "features.pt"), run.embed(x), atol=1e-5)


def test_the_example_runs_from_the_command_line(run, tmp_path, monkeypatch, capsys):
    run.export(tmp_path)
    monkeypatch.setattr(sys, "argv", ["load_encoder.py", str(tmp_path)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert capsys.readouterr().out == "(4, 3, 16, 16) -> (4, 128)\n"


def forbid(monkeypatch, name):
    """Make an import fail as if the package were not installed."""
    real = builtins.__import__

    def without(module, *args, **kwargs):
        if module.split(".")[0] == name or module == "torch.utils." + name:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)


# ---- ONNX


@pytest.mark.slow
def test_onnx_gives_the_same_numbers_for_any_batch(run, tiny_shapes, tmp_path):
    import onnx
    import onnxruntime

    path = run.export_onnx(tmp_path / "new" / "encoder.onnx")
    assert [p.name for p in path.parent.iterdir()] == ["encoder.onnx"]  # one file, the weights are inside
    onnx.checker.check_model(onnx.load(path))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["images"]
    for n in (1, 2, 33):
        x = tiny_shapes.images[:n].float() / 255
        (features,) = session.run(["features"], {"images": x.numpy()})
        expected = run.embed(x).numpy()
        assert features.shape == expected.shape
        assert np.abs(features - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 4])
def test_onnx_of_gray_and_transparent_pictures(channels, tmp_path):
    """RGBA is put on its ground before the encoder, so the file takes three channels."""
    import onnxruntime

    pictures = torch.randint(0, 256, (100, channels, 16, 16), dtype=torch.uint8)
    data = sslkit.datasets.arrays(pictures)
    run = sslkit.pretrain("simclr", data, **QUICK, encoder=nets.small_resnet(1 if channels == 1 else 3, widths=(8, 16)))
    session = onnxruntime.InferenceSession(run.export_onnx(tmp_path / "encoder.onnx"))
    x = sslkit.augment.to_float(pictures[:5])
    (features,) = session.run(None, {"images": x.numpy()})
    assert np.allclose(features, run.embed(pictures[:5]).numpy(), atol=1e-5)


@pytest.mark.slow
def test_onnx_of_a_transformer_takes_any_batch(tiny_shapes, tmp_path):
    import onnxruntime

    run = sslkit.pretrain("mae", tiny_shapes, **QUICK, encoder=nets.tiny_vit(dim=32, depth=1))
    session = onnxruntime.InferenceSession(run.export_onnx(tmp_path / "encoder.onnx"))
    for n in (1, 2, 5):
        x = tiny_shapes.test.images[:n]
        (features,) = session.run(None, {"images": (x / 255).numpy()})
        assert np.allclose(features, run.embed(x).numpy(), atol=1e-5)


def test_without_onnx_it_says_how_to_get_it(run, monkeypatch, tmp_path):
    forbid(monkeypatch, "onnxscript")
    with pytest.raises(ModuleNotFoundError, match=r"ONNX is not installed: pip install 'sslkit\[onnx\]'"):
        run.export_onnx(tmp_path / "encoder.onnx")
    assert list(tmp_path.iterdir()) == []


# ---- TensorBoard


def curves(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_every_number_of_the_history(tiny_shapes, tmp_path):
    board = TensorBoard(tmp_path / "board")
    assert not (tmp_path / "board").exists()  # nothing is written before there is a row
    run = sslkit.pretrain("vicreg", tiny_shapes, **QUICK, watch=board)
    seen = curves(tmp_path / "board")
    assert {"loss", "variance", "covariance", "lr", "knn", "rankme", "images_per_second"} <= set(seen)
    for name, points in seen.items():
        steps, values = run.history.column(name)
        assert [step for step, _ in points] == steps
        assert [value for _, value in points] == pytest.approx(values, rel=1e-5)


def test_without_tensorboard_it_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    forbid(monkeypatch, "tensorboard")
    with pytest.raises(ModuleNotFoundError, match=r"TensorBoard is not installed: pip install 'sslkit\[tensorboard\]'"):
        TensorBoard(tmp_path)
    assert cli.main(["train", "--data", "digits", "--steps", "2", "--out", str(tmp_path), "--tensorboard"]) == 2
    assert capsys.readouterr().err.startswith("sslkit: TensorBoard is not installed")
