"""The command line: what it prints, what it writes, and one sentence for every mistake."""

import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import sslkit
from sslkit import cli


@pytest.fixture
def quick(monkeypatch, tiny_shapes):
    """The real command on few pictures: the data and the budget are cut, nothing else."""
    pretrain = sslkit.pretrain

    def short(method, data, *, steps, seed, batch_size=32, **usual):
        return pretrain(
            method,
            data,
            steps=4,
            batch_size=batch_size,
            precision="float32",
            marks=2,
            probe=20,
            seed=seed,
            progress=False,
            **usual,
        )

    monkeypatch.setattr(sslkit, "pretrain", short, raising=False)
    load = sslkit.datasets.load
    monkeypatch.setattr(sslkit.datasets, "load", lambda name: tiny_shapes if name == "shapes" else load(name))
    monkeypatch.setattr(
        "sslkit.fine_tune.supervised_ceiling", lambda *a, **k: sslkit.evaluation.Score(0.9, 0.8, 1.0, 50)
    )


def test_quickstart_does_the_main_job(quick, tmp_path, capsys):
    assert cli.main(["quickstart", "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "linear probe" in out
    assert "random" in out
    assert str(tmp_path / "out" / "report.html") in out
    assert "make lab" in out
    assert (tmp_path / "out" / "report.html").exists()
    assert sslkit.load(tmp_path / "out").history.step == 4


def test_an_earlier_run_of_another_kind_is_put_aside(quick, tmp_path, capsys):
    out = tmp_path / "out"
    for seed in ("0", "0", "1"):
        assert cli.main(["quickstart", "--out", str(out), "--seed", seed]) == 0
    assert "The earlier run" in capsys.readouterr().out
    assert sslkit.load(tmp_path / "out-1").config.seed == 0  # the second replaced the first, which was the same
    assert sslkit.load(out).config.seed == 1
    assert not (tmp_path / "out-2").exists()


def test_a_stopped_quickstart_keeps_what_it_has(quick, tmp_path, monkeypatch, capsys):
    whole = sslkit.pretrain

    def stopped(*args, **options):
        run = whole(*args, **options)
        run.history.step = 2
        return run

    out = tmp_path / "out"
    assert cli.main(["quickstart", "--out", str(out)]) == 0
    monkeypatch.setattr(sslkit, "pretrain", stopped, raising=False)
    assert cli.main(["quickstart", "--out", str(out)]) == 130
    assert "Stopped after step 2" in capsys.readouterr().out
    assert sslkit.load(out).history.step == 2
    assert sslkit.load(tmp_path / "out-1").history.step == 4  # a finished run is not lost to a stopped one
    assert (tmp_path / "out-1" / "report.html").exists()


def test_an_earlier_run_that_cannot_be_moved_stays(quick, tmp_path, monkeypatch, capsys):
    def mounted(*_):
        raise OSError("busy")

    monkeypatch.chdir(tmp_path)
    assert cli.main(["quickstart", "--out", "."]) == 0
    monkeypatch.setattr("pathlib.Path.rename", mounted)
    assert cli.main(["quickstart", "--out", ".", "--seed", "1"]) == 0
    assert "keeps an earlier run; this one is in" in capsys.readouterr().out
    assert sslkit.load(tmp_path).config.seed == 0
    assert sslkit.load(f"{tmp_path}-1").config.seed == 1


def test_a_terminal_without_our_letters_shows_others():
    code = "import sslkit.cli, sys; sys.stdout.reconfigure(encoding='ascii'); "
    code += "sslkit.cli.lab = lambda options: print('0.9 ± 0.1') or 0; sys.exit(sslkit.cli.main(['lab']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "0.9 ? 0.1")


def test_a_report_that_fails_does_not_lose_the_training(quick, tmp_path, monkeypatch, capsys):
    def full(run, path):
        raise OSError("no space left")

    monkeypatch.setattr("sslkit.report.write_report", full)
    assert cli.main(["quickstart", "--out", str(tmp_path / "out")]) == 2
    assert "no space left" in capsys.readouterr().err
    assert sslkit.load(tmp_path / "out").history.step == 4


def test_too_few_test_pictures_are_found_before_the_training(tmp_path, capsys):
    np.save(tmp_path / "few.npy", np.zeros((60, 3, 16, 16), np.uint8))
    assert cli.main(["quickstart", "--data", str(tmp_path / "few.npy"), "--out", str(tmp_path / "out")]) == 2
    assert "quickstart needs 5 test pictures at least; 'few' has 3" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_quickstart_on_a_folder(quick, tmp_path, capsys):
    from PIL import Image

    for i in range(60):
        name = tmp_path / "pictures" / ("red" if i % 2 else "blue") / f"{i}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (255 * (i % 2), i, 255 * (1 - i % 2))).save(name)
    (tmp_path / "pictures" / "blue" / "notes.txt").write_text("no picture")
    assert cli.main(["quickstart", "--data", str(tmp_path / "pictures"), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "60 images" in said.out
    n = int(re.search(r"With (\d+) training pictures", said.out)[1])  # fewer than a usual batch
    assert f"every batch has {n // 2}." in said.out
    assert said.err.count("sslkit: 1 of 61 files") == 1


# ---- train


def test_train_writes_a_run_and_goes_on(tmp_path, capsys):
    command = ["train", "--data", "digits", "--steps", "6", "--batch-size", "64", "--out", str(tmp_path / "out")]
    assert cli.main([*command, "--tensorboard"]) == 0
    out = capsys.readouterr().out
    assert "Learning without labels: simclr, 64 a batch, seed 0.\n" in out
    assert re.search(r"step 6: loss \d+\.\d+ rankme \d+\.\d+ knn 0\.\d+", out)
    assert f"Saved in {tmp_path / 'out'}" in out
    assert list((tmp_path / "out").glob("events.out.tfevents.*"))
    run = sslkit.load(tmp_path / "out")
    assert (run.history.step, run.config.batch_size) == (6, 64)
    assert "done already" not in out
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "This training was done already; another --out begins a new one.\n" in out
    assert "step" not in out.replace("6 of 6 steps", "")
    assert cli.main([*command[:4], "7", *command[5:]]) == 2
    assert "is of another run: its steps was 6, now it is 7" in capsys.readouterr().err


def test_train_that_is_stopped_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def terminate(row):
        if row["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(sslkit.progress, "TensorBoard", lambda folder: terminate)
    before = signal.getsignal(signal.SIGTERM)
    command = ["train", "--data", "digits", "--steps", "100", "--batch-size", "64", "--out", str(tmp_path)]
    assert cli.main([*command, "--tensorboard"]) == 130
    step = sslkit.checkpoint.read(tmp_path)["history"]["step"]
    assert 2 <= step <= 4
    assert f"Stopped after step {step} of 100; the same command goes on." in capsys.readouterr().out
    assert not (tmp_path / "encoder.safetensors").exists()  # it is not finished
    assert signal.getsignal(signal.SIGTERM) is before


def test_train_counts_minutes_once(tmp_path):
    command = ["train", "--data", "digits", "--minutes", "0.02", "--batch-size", "64", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    steps = sslkit.load(tmp_path).config.steps
    assert cli.main(command) == 0
    assert sslkit.load(tmp_path).config.steps == steps >= 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "shape"], "Unknown data set 'shape'. Did you mean 'shapes'"),
        (["--method", "simclear"], "Unknown method 'simclear'. Did you mean 'simclr'"),
        (["--batch-size", "2000"], "batch_size is 2000, but 'digits' has only 1123 training pictures"),
        (["--steps", "0"], "steps is 0"),
    ],
)
def test_mistakes_in_train_are_one_sentence(tmp_path, capsys, arguments, message):
    assert cli.main(["train", "--data", "digits", "--steps", "5", "--out", str(tmp_path / "out"), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith(f"sslkit: {message}")
    assert "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


def test_two_budgets_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--steps", "5", "--minutes", "1", "--out", str(tmp_path)])
    assert "--minutes: not allowed with argument --steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "shape"], "Unknown data set 'shape'. Did you mean 'shapes'"),
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--method", "simclear"], "Unknown method 'simclear'. Did you mean 'simclr'"),
        (["--seed", "-1"], "seed is -1; give a whole number from 0 on"),
        (["--seed", str(2**64)], "seed is 18446744073709551616; give a whole number from 0 on, below 2**63"),
    ],
)
def test_mistakes_are_one_sentence_on_stderr(quick, tmp_path, capsys, arguments, message):
    assert cli.main(["quickstart", "--out", str(tmp_path / "out"), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("sslkit: ")
    assert "Traceback" not in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()  # nothing half-written, not even a folder


def test_unwritable_run_folder_is_found_before_anything_else(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sslkit, "pretrain", lambda *a, **k: pytest.fail("must not train"), raising=False)
    (tmp_path / "file").write_text("")
    assert cli.main(["quickstart", "--out", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["quickstart", "train"])
def test_unknown_method_is_found_before_the_data(tmp_path, capsys, monkeypatch, command):
    monkeypatch.setattr(sslkit.datasets, "load", lambda *_: pytest.fail("must not load"))
    assert cli.main([command, "--method", "simcler", "--out", str(tmp_path / "out")]) == 2
    assert "Did you mean 'simclr'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_interrupt_is_not_a_traceback(monkeypatch, capsys, tmp_path):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(sslkit, "pretrain", interrupted, raising=False)
    assert cli.main(["quickstart", "--data", "digits", "--out", str(tmp_path)]) == 130
    assert "stopped" in capsys.readouterr().err


def test_lab_opens_the_first_notebook(monkeypatch):
    calls = []
    monkeypatch.setattr(cli.subprocess, "call", lambda command: calls.append(command) or 0)
    assert cli.lab(SimpleNamespace()) == 0
    assert calls[0][1:3] == ["-m", "jupyterlab"]
    assert calls[0][3].endswith("00_start_here.ipynb")


def test_help_names_the_commands():
    text = subprocess.run([sys.executable, "-m", "sslkit", "--help"], capture_output=True, text=True, check=True).stdout
    assert "quickstart" in text
    assert "train" in text
    assert "lab" in text
