"""The loop: batches, exact resume, stop requests, divergence, checkpoints that survive everything."""

import copy
import os
import pickle
import signal
import threading
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from sslkit import checkpoint, device, distributed, nets, recipes, train
from sslkit.datasets import Images, Stream, shapes
from sslkit.methods import Batch, Method

CONFIG = train.TrainConfig(
    steps=12, batch_size=32, device="cpu", precision="float32", channels_last=False, marks=4, probe=20
)


def method(data, name="simclr", seed=0):
    options = {} if name == "article" else {"head": (32, 16)}
    return recipes.method(name, data, seed=seed, encoder=nets.small_resnet(widths=(8, 16)), **options)


@pytest.fixture
def simclr(tiny_shapes):
    torch.manual_seed(0)
    return method(tiny_shapes)


def weights_equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# ---- batches


def test_an_epoch_is_a_permutation():
    config = replace(CONFIG, batch_size=10)
    epoch = torch.cat([train.batch_index(57, step, config) for step in range(5)])
    assert len(epoch.unique()) == 50  # five full batches, the last 7 pictures dropped
    second = torch.cat([train.batch_index(57, step, config) for step in range(5, 10)])
    assert not torch.equal(epoch, second)
    assert len(second.unique()) == 50


def test_batches_depend_on_the_seed_only(monkeypatch):
    assert torch.equal(train.batch_index(57, 3, CONFIG), train.batch_index(57, 3, CONFIG))
    assert not torch.equal(train.batch_index(57, 3, CONFIG), train.batch_index(57, 3, replace(CONFIG, seed=1)))
    whole = train.batch_index(100, 1, CONFIG)
    parts = []
    for rank in range(3):
        monkeypatch.setattr(train.distributed, "world", lambda rank=rank: (rank, 3))
        parts.append(train.batch_index(100, 1, CONFIG))
    assert sorted(torch.cat(parts).tolist()) == sorted(whole.tolist())


def test_marks_are_log_spaced_and_include_both_ends():
    marks = train.marked_steps(replace(CONFIG, steps=1000, marks=10))
    assert {0, 1, 1000} <= marks
    assert len(marks) == 11
    assert train.marked_steps(replace(CONFIG, marks=0)) == set()


# ---- history


def test_history_has_what_its_docstring_says(simclr, tiny_shapes):
    rows = []
    history = train.fit(simclr, tiny_shapes, CONFIG, watch=rows.append)
    assert history.step == 12
    assert rows == history.rows
    assert {"step", "loss", "lr", "images_per_second", "seconds"} <= set(rows[-1])
    steps, knn = history.column("knn")
    assert steps == sorted(train.marked_steps(CONFIG)) == history.snapshot_steps
    assert all(0 <= value <= 1 for value in knn)
    assert all(s.shape == (20, 16) and s.dtype == torch.float16 for s in history.snapshots)
    assert history.snapshot_index.max() < len(tiny_shapes.val)


def test_training_changes_the_encoder_and_follows_the_seed(tiny_shapes):
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(5)
        runs.append(method(tiny_shapes))
        train.fit(runs[-1], tiny_shapes, replace(CONFIG, steps=3, seed=seed))
    assert weights_equal(runs[0], runs[1])
    assert not weights_equal(runs[0], runs[2])


def test_looking_does_not_change_training(tiny_shapes):
    seen, unseen = method(tiny_shapes), method(tiny_shapes)
    unseen.load_state_dict(seen.state_dict())
    train.fit(seen, tiny_shapes, replace(CONFIG, steps=5))
    train.fit(unseen, tiny_shapes, replace(CONFIG, steps=5, marks=0))
    assert weights_equal(seen, unseen)


def test_labels_have_no_influence(tiny_shapes):
    """SimCLR with shuffled labels must be the same run, bit for bit."""
    a, b = method(tiny_shapes), method(tiny_shapes)
    b.load_state_dict(a.state_dict())
    shuffled = replace(tiny_shapes, labels=tiny_shapes.labels[torch.randperm(len(tiny_shapes))])
    train.fit(a, tiny_shapes, replace(CONFIG, steps=4))
    train.fit(b, shuffled, replace(CONFIG, steps=4))
    assert weights_equal(a, b)


def test_data_without_labels_trains_and_reports_no_knn(simclr, tiny_shapes):
    history = train.fit(simclr, replace(tiny_shapes, labels=None, names=()), replace(CONFIG, steps=2))
    assert "knn" not in history.rows[-1]
    assert "rankme" in history.rows[-1]


# ---- stop and resume


@pytest.mark.parametrize("name", ["simclr", "vicreg", "article", "critic_pairs", "critic_nce", "gated_simclr"])
def test_resume_is_exact(tiny_shapes, tmp_path, name):
    straight, stopped = method(tiny_shapes, name), method(tiny_shapes, name)
    stopped.load_state_dict(straight.state_dict())
    fresh = copy.deepcopy(stopped)
    expected = train.fit(straight, tiny_shapes, CONFIG)

    stop = threading.Event()
    first = train.fit(
        stopped, tiny_shapes, CONFIG, folder=tmp_path, stop=stop, watch=lambda row: row["step"] == 5 and stop.set()
    )
    assert 5 <= first.step < 12
    second = train.fit(fresh, tiny_shapes, CONFIG, folder=tmp_path)
    assert weights_equal(straight, fresh)
    losses = [{row["step"]: row["loss"] for row in h.rows if "loss" in row} for h in (expected, second)]
    assert losses[0] == losses[1]  # one row per step here: the loss of every step is the same, too
    assert second.snapshot_steps == expected.snapshot_steps
    assert all(torch.equal(a, b) for a, b in zip(expected.snapshots, second.snapshots))


def test_a_finished_run_is_loaded_not_trained(simclr, tiny_shapes, tmp_path):
    train.fit(simclr, tiny_shapes, CONFIG, folder=tmp_path)
    written = (tmp_path / checkpoint.FILE).stat().st_mtime_ns
    again = method(tiny_shapes, seed=9)
    rows = []
    history = train.fit(again, tiny_shapes, CONFIG, folder=tmp_path, watch=rows.append)
    assert weights_equal(simclr, again)
    assert history.step == 12
    assert rows == []
    assert (tmp_path / checkpoint.FILE).stat().st_mtime_ns == written


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_after_the_step_and_keep_a_checkpoint(simclr, tiny_shapes, tmp_path, number):
    before = signal.getsignal(number)
    history = train.fit(
        simclr, tiny_shapes, CONFIG, folder=tmp_path,
        watch=lambda row: row["step"] == 4 and os.kill(os.getpid(), number),
    )  # fmt: skip
    assert 4 <= history.step <= 6
    assert checkpoint.read(tmp_path)["history"]["step"] == history.step
    assert signal.getsignal(number) is before


def test_a_second_request_raises(simclr, tiny_shapes):
    def twice(row):
        if row["step"] == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train.fit(simclr, tiny_shapes, CONFIG, watch=twice)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_works_outside_the_main_thread(simclr, tiny_shapes):
    out = []
    thread = threading.Thread(target=lambda: out.append(train.fit(simclr, tiny_shapes, replace(CONFIG, steps=2))))
    thread.start()
    thread.join()
    assert out[0].step == 2


def test_sixty_seconds_between_checkpoints(simclr, tiny_shapes, tmp_path, monkeypatch):
    writes = []
    monkeypatch.setattr(checkpoint, "write", lambda path, state: writes.append(state["history"]["step"]))
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: next(clock))
    train.fit(simclr, tiny_shapes, CONFIG, folder=tmp_path)
    assert writes[-1] == 12
    assert 3 <= len(writes) <= 6


# ---- divergence


class Exploding(Method):
    """A method whose loss becomes NaN at a step of its own choice."""

    def __init__(self, at):
        super().__init__()
        self.encoder, self.at, self.calls = nets.small_resnet(widths=(8,)), at, 0

    def collect(self, images, index, labels, generator):
        return Batch([images.float() / 255], index)

    def forward(self, batch):
        self.calls += self.training
        loss = self.encoder(batch.views[0]).square().mean()
        return {"loss": loss * float("nan") if self.calls > self.at else loss}


def test_divergence_is_one_sentence_and_keeps_the_last_finite_checkpoint(tiny_shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1)  # a checkpoint at every log step
    bad = Exploding(at=6)
    with pytest.raises(
        FloatingPointError, match=r"The loss is nan at step 7\. The last finite checkpoint is in .*learning rate below"
    ):
        train.fit(bad, tiny_shapes, CONFIG, folder=tmp_path)
    state = checkpoint.read(tmp_path)
    assert state["history"]["step"] == 6
    assert all(value.isfinite().all() for value in state["weights"].values())


def test_weights_that_are_not_finite_are_not_written(simclr, tiny_shapes, tmp_path):
    keeper = checkpoint.Keeper(tmp_path, simclr, tiny_shapes)
    with torch.no_grad():
        next(simclr.parameters()).fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="no longer finite"):
        keeper.save(CONFIG, None, train.History(), now=True)
    assert not (tmp_path / checkpoint.FILE).exists()


# ---- resolutions


def test_equal_parts_of_the_training_have_their_resolutions(monkeypatch, simclr, tiny_shapes):
    sides, forward = [], type(simclr).forward
    monkeypatch.setattr(
        type(simclr), "forward", lambda self, batch: sides.append(batch.views[0].shape[-1]) or forward(self, batch)
    )
    train.fit(simclr, tiny_shapes, replace(CONFIG, steps=6, resolutions=(0.5, 0.75, 1.0), marks=0))
    whole = tiny_shapes.shape[-1]
    assert sides == [whole // 2] * 2 + [whole * 3 // 4] * 2 + [whole] * 2


def test_work_goes_with_the_pixels_of_the_views():
    config = replace(CONFIG, steps=8, resolutions=(0.5, 1.0))
    assert [config.work(step) for step in (0, 4, 6, 8)] == pytest.approx([0, 0.2, 0.6, 1])
    assert replace(CONFIG, steps=8).work(2) == 0.25


@pytest.mark.parametrize("resolutions", [(), (0.0, 1.0), (1.5,), 0.5, ("half",)])
def test_resolutions_out_of_range(resolutions):
    with pytest.raises(ValueError, match=r"resolutions is .* above 0 and up to 1"):
        replace(CONFIG, resolutions=resolutions)


def test_a_checkpoint_from_before_a_setting_existed_goes_on(simclr, tiny_shapes, tmp_path):
    train.fit(simclr, tiny_shapes, replace(CONFIG, steps=2, marks=0), folder=tmp_path)
    state = checkpoint.read(tmp_path)
    del state["config"]["resolutions"], state["format"]
    checkpoint.write(tmp_path / checkpoint.FILE, state)
    assert train.fit(simclr, tiny_shapes, replace(CONFIG, steps=2, marks=0), folder=tmp_path).step == 2


# ---- budgets


def test_minutes_become_steps_and_leave_the_method_alone(simclr, tiny_shapes):
    before = copy.deepcopy(simclr)
    state = torch.get_rng_state()
    config = train.steps_for(0.05, simclr, tiny_shapes, replace(CONFIG, steps=1))
    assert config.steps >= 20
    assert weights_equal(before, simclr)
    assert torch.equal(state, torch.get_rng_state())
    for minutes in (0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"minutes is {minutes}"):
            train.steps_for(minutes, simclr, tiny_shapes, CONFIG)


def test_a_busy_moment_does_not_count(monkeypatch, simclr, tiny_shapes):
    """One slow step of twenty must not make the run shorter."""
    steps, collect = [], simclr.collect

    def slow_once(*batch):
        steps.append(1)
        time.sleep(2 if len(steps) == 15 else 0.02)
        return collect(*batch)

    monkeypatch.setattr(type(simclr), "collect", lambda self, *batch: slow_once(*batch))
    config = train.steps_for(0.05, simclr, tiny_shapes, replace(CONFIG, steps=1, marks=0))
    assert config.steps > 3 / (2 / 20)  # what the mean would allow


def test_a_trial_that_waits_for_a_core_is_told_of(monkeypatch, simclr, tiny_shapes):
    """On a crowded computer few steps fit into the minutes, and nobody would see why."""
    monkeypatch.setattr(train, "step_seconds", lambda *a, **k: time.sleep(0.2) or 0.1)
    with pytest.warns(UserWarning, match=r"a core for \d% of the time\. If other programs"):
        train.steps_for(0.05, simclr, tiny_shapes, replace(CONFIG, steps=1, marks=0))
    monkeypatch.setattr(distributed, "world", lambda: (0, 2))  # each waits for the other, and that is well
    monkeypatch.setattr(distributed, "agree", lambda config: config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train.steps_for(0.05, simclr, tiny_shapes, replace(CONFIG, steps=1, marks=0))


# ---- bad input


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be a whole number of at least 1"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"lr": 0}, "lr is 0; the learning rate must be above 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": "0.1"}, "lr is '0.1'"),
        ({"steps": True}, "steps is True"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; it must be a number of at least 0"),
        ({"weight_decay": None}, "weight_decay is None"),
        ({"warmup": 1.0}, "warmup is 1.0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_configuration(option, message):
    with pytest.raises(ValueError, match=message):
        train.TrainConfig(**{"steps": 5, **option})


def test_a_configuration_takes_numbers_of_any_kind():
    config = train.TrainConfig(steps=np.int64(5), lr=np.float32(0.5), resolutions=[0.5, np.float64(1)])
    assert config == train.TrainConfig(steps=5, lr=0.5, resolutions=(0.5, 1.0))
    assert type(config.steps) is int


@pytest.mark.parametrize("name", ["autoencoder", "denoising", "vae", "bigan", "mae"])
def test_who_paints_knows_one_size(tiny_shapes, name):
    with pytest.raises(ValueError, match=r"resolutions is \(0\.5, 1\.0\), but \w+ knows pictures of one size only"):
        train.fit(recipes.method(name, tiny_shapes), tiny_shapes, replace(CONFIG, resolutions=(0.5, 1.0)))


def test_an_accelerator_that_does_not_compute_is_not_chosen(monkeypatch):
    """A build of PyTorch may see a GPU for which it has no kernels."""

    def ones(*shape, device=None):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    device._works.cache_clear()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch, "ones", ones)
    with pytest.warns(UserWarning, match="'cuda' is there, but this PyTorch cannot use it .*no kernel image"):
        assert device.best_device() == "cpu"
    device._works.cache_clear()


def test_several_processes_without_cuda_train_on_the_cpu(monkeypatch):
    """gloo knows no MPS."""
    monkeypatch.setattr(device, "best_device", lambda: "mps")
    one = train.resolve(train.TrainConfig(steps=1))
    monkeypatch.setattr(distributed, "world", lambda: (0, 2))
    monkeypatch.setattr(distributed, "agree", lambda config: config)
    assert (one.device, train.resolve(train.TrainConfig(steps=1)).device) == ("mps", "cpu")


def test_tensors_are_sent_without_waiting_to_cuda_only(monkeypatch):
    seen = []
    monkeypatch.setattr(torch.Tensor, "to", lambda x, where, non_blocking: seen.append((where, non_blocking)))
    for where in ("cuda", torch.device("cuda:1"), "mps", "cpu"):
        device.send(torch.zeros(1), where)
    assert [waits for _, waits in seen] == [True, True, False, False]


def test_a_device_that_is_not_there(simclr, tiny_shapes):
    with pytest.raises(ValueError, match=r"device is 'gpu', which is not on this machine\. Use 'auto' or"):
        train.fit(simclr, tiny_shapes, replace(CONFIG, device="gpu", channels_last=None))


def test_a_stream_may_be_given_as_it_is(simclr, tiny_shapes):
    stream = Stream([tiny_shapes.images[:32]] * 2)
    assert train.fit(simclr, stream, replace(CONFIG, steps=2, marks=0)).step == 2


def test_a_stream_that_can_be_read_once_is_enough_for_an_encoder_that_is_fitted_at_the_end(tiny_shapes):
    method, _ = recipes.recipe("quick", tiny_shapes, seed=0, encoder=nets.small_resnet(widths=(4, 8), whiten=True))
    batches = tiny_shapes.train.images[:128].split(32)
    train.fit(method, (x for x in batches), replace(CONFIG, steps=4, batch_size=32, marks=0))
    assert method.encoder.whitening.fitted


def test_what_a_stream_gave_before_it_ended_is_not_lost(tiny_shapes):
    """And where nothing is left at all, the sentence of the stream is."""
    first, second = tiny_shapes.images[:64].split(32)
    stream = Stream(x for x in (first, second))
    assert torch.equal(train.unchanged(stream, ((x, None) for x in (second,))), torch.cat([first, second]))
    assert torch.equal(train.unchanged(stream, stream), torch.cat([first, first, second]))
    stream.first = None
    with pytest.raises(ValueError, match="has ended and gives no full batch"):
        train.unchanged(stream, stream)


@pytest.mark.parametrize("when", [2, train.WARM + 3])
def test_a_signal_while_minutes_are_counted_ends_all(monkeypatch, simclr, tiny_shapes, when):
    steps, collect = [], simclr.collect

    def interrupted(*batch):
        steps.append(1)
        if len(steps) == when:
            signal.raise_signal(signal.SIGTERM)
        return collect(*batch)

    monkeypatch.setattr(type(simclr), "collect", lambda self, *batch: interrupted(*batch))
    with pytest.raises(KeyboardInterrupt):
        train.steps_for(0.05, simclr, tiny_shapes, replace(CONFIG, steps=1, marks=0))
    assert len(steps) == when


def test_a_stop_while_minutes_are_counted_ends_all(simclr, tiny_shapes):
    stop = threading.Event()
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        train.steps_for(0.05, simclr, tiny_shapes, replace(CONFIG, steps=1, marks=0), stop)


def test_a_checkpoint_of_another_encoder_is_refused(tiny_shapes, tmp_path):
    def run(encoder, folder):
        one = recipes.method("simclr", tiny_shapes, encoder=encoder, head=(32, 16))
        train.fit(one, tiny_shapes, replace(CONFIG, steps=1, marks=0), folder=tmp_path / folder)

    run(nets.tiny_vit(dim=16, depth=1, heads=4), "named")
    with pytest.raises(ValueError, match="is of another run: its heads was 4, now it is 1"):
        run(nets.tiny_vit(dim=16, depth=1, heads=1), "named")  # the same weights fit both
    state = checkpoint.read(tmp_path / "named")
    del state["encoder"]["depth"]  # as if that setting had not existed then
    checkpoint.write(tmp_path / "named" / checkpoint.FILE, state)
    run(nets.tiny_vit(dim=16, depth=1, heads=4), "named")
    own = lambda width: nets.adapt(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, width)), image_size=16)
    run(own(16), "own")
    with pytest.raises(ValueError, match="is of another network"):
        run(own(24), "own")


def test_fewer_images_than_a_batch(simclr, tiny_shapes, tmp_path):
    with pytest.raises(ValueError, match=r"batch_size is 1000, but 'shapes' has only 300 training pictures"):
        train.fit(simclr, tiny_shapes, replace(CONFIG, batch_size=1000), folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("change", ["method", "data", "steps", "lr"])
def test_a_checkpoint_of_another_run_is_refused(simclr, tiny_shapes, tmp_path, change):
    train.fit(simclr, tiny_shapes, replace(CONFIG, steps=2), folder=tmp_path)
    other, data, config = simclr, tiny_shapes, replace(CONFIG, steps=2)
    if change == "method":
        other = method(tiny_shapes, "vicreg")
    elif change == "data":
        data = shapes(400, resolution=16, seed=1)
    else:
        config = replace(config, **{change: 3 if change == "steps" else 0.5})
    with pytest.raises(ValueError, match=f"is of another run: its {change} was"):
        train.fit(other, data, config, folder=tmp_path)


def test_other_thread_counts_warn(simclr, tiny_shapes, tmp_path):
    stop = threading.Event()
    train.fit(simclr, tiny_shapes, CONFIG, folder=tmp_path, stop=stop, watch=lambda row: stop.set())
    state = checkpoint.read(tmp_path)
    checkpoint.write(tmp_path / checkpoint.FILE, {**state, "threads": 77})
    with pytest.warns(UserWarning, match="threads 77 -> "):
        train.fit(simclr, tiny_shapes, CONFIG, folder=tmp_path)


# ---- files


def test_write_and_read(tmp_path):
    checkpoint.write(tmp_path / "a" / "x.pt", {"value": torch.arange(3), "names": ["a"]})
    state = checkpoint.read(tmp_path / "a" / "x.pt")
    assert torch.equal(state["value"], torch.arange(3))
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x.pt"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 331264 vs 331160"),
            "seems to be full",
        ),
    ],
)
def test_full_disk_keeps_the_old_file(tmp_path, monkeypatch, error, reason):
    path = tmp_path / "x.pt"
    checkpoint.write(path, {"value": 1})

    def full(*args):
        args[1].write(b"half")
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=rf"Could not write .*{reason}.*what was saved before is untouched"):
        checkpoint.write(path, {"value": 2})
    assert checkpoint.read(path)["value"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]


@pytest.mark.parametrize("keep", [0, 1, 10, 200, 0.5, 0.99])
def test_truncated_checkpoint(tmp_path, keep):
    path = tmp_path / "x.pt"
    checkpoint.write(path, {"value": torch.rand(1000)})
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(ValueError, match=r"x\.pt (is cut short or damaged|was not opened)"):
        checkpoint.read(path)


def test_malicious_checkpoint_does_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/owned",)

    torch.save({"format": checkpoint.FORMAT, "weights": Evil()}, tmp_path / "x.pt")
    (tmp_path / "y.pt").write_bytes(pickle.dumps(Evil()))
    for name in ("x.pt", "y.pt"):
        with pytest.raises(ValueError, match=r"was not opened.*could run code"):
            checkpoint.read(tmp_path / name)
    assert not (tmp_path / "owned").exists()


def test_other_format_missing_file_and_foreign_tensor(tmp_path):
    torch.save({"format": 99}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="has checkpoint format 99; this sslkit reads format 1"):
        checkpoint.read(tmp_path / "x.pt")
    torch.save(torch.zeros(2), tmp_path / "y.pt")
    with pytest.raises(ValueError, match="has checkpoint format None"):
        checkpoint.read(tmp_path / "y.pt")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        checkpoint.read(tmp_path)


def test_unwritable_folder_is_found_before_training(simclr, tiny_shapes, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"The run folder .*file.* cannot be written"):
        train.fit(simclr, tiny_shapes, CONFIG, folder=tmp_path / "file")


def test_the_loop_stays_readable():
    """The architecture promises one loop under 60 lines."""
    import inspect

    source = inspect.getsource(train.fit).split('"""')[2]
    assert len([line for line in source.splitlines() if line.strip()]) < 60


def test_pictures_to_measure_are_of_all_classes(monkeypatch):
    """They may lie class by class, as those of a folder do."""
    monkeypatch.setattr(train, "UNCHANGED", 10)
    x = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(40, 1, 4, 4)
    data = Images(x, None, torch.zeros(40, dtype=torch.uint8))
    assert train.unchanged(data)[:, 0, 0, 0].diff().unique().tolist() == [4, 5]
    assert torch.equal(train.unchanged(data[:7]), x[:7])
