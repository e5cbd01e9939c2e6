"""The explorer without a browser: scene, selection, background, page."""

import json
import re
import subprocess
import sys
import threading
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from sslkit import datasets, maps, widgets
from sslkit.widgets import Explorer, Scene
from sslkit.widgets._scene import encode, small, sprite

EVIL = ["<script>alert(1)</script>", "\"quotes\" & 'more'", "x" * 10_000, "שלום עולם", "🦊 fox"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLKIT_CACHE", str(tmp_path / "cache"))


def clusters(n=60, d=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 5
    return torch.randn(n, d, generator=g) + 6 * torch.randn(5, d, generator=g)[y], y


def pictures(n=60, names=EVIL):
    images = torch.randint(0, 256, (n, 3, 16, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return datasets.Images(
        images, torch.arange(n) % 5, torch.zeros(n, dtype=torch.uint8), names=tuple(names),
        factors={
            "size": torch.rand(n, 1), "kind": torch.arange(n) % 3,
            "angle": torch.stack([torch.zeros(n), torch.ones(n)], 1), "where": torch.rand(n, 2) * 3,
        },
    )  # fmt: skip


def unpack(value, dtype):
    return np.frombuffer(value if isinstance(value, bytes) else b64decode(value), dtype)


# ---- the scene


def test_pca_is_there_at_once_and_the_rest_when_it_is_done():
    x, _ = clusters()
    scene = Scene(x, pictures(), perplexities=[8], seeds=[0, 3])
    assert list(scene.layouts) == ["PCA"]
    assert scene.parts()["neighbours"] == {"k": 0, "index": b""}
    assert scene.compute() is scene
    assert list(scene.layouts) == ["PCA", "t-SNE, perplexity 8", "t-SNE, perplexity 8, random start 3"]
    assert set(scene.measures) == set(scene.trust) == set(scene.layouts)
    assert list(scene.colours) == ["label", "size", "kind", "angle", "where 1", "where 2", "cluster", "probe"]
    assert scene.colours["probe"]["values"].mean() < 0.1  # clusters are easy


def test_coordinates_are_on_one_scale_over_all_epochs_and_both_axes():
    mine = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 0.5]], [[0.0, 0.0], [4.0, 0.0], [0.0, 2.0]]])
    scene = Scene(torch.rand(2, 3, 4), layouts={"mine": mine}, steps=[0, 10])
    part = scene.parts()["layouts"]["mine"]
    xy = unpack(part["xy"], "<u2").reshape(2, 3, 2) / 65535
    span = xy.max(1) - xy.min(1)
    assert part["epochs"] == scene.epochs == 2
    np.testing.assert_allclose(span, [[0.25, 0.125], [1, 0.5]], atol=1e-4)
    assert xy[1, 2, 1] < xy[1, 0, 1]  # up on the map is up on the screen


def test_neighbours_are_the_true_ones():
    x, _ = clusters()
    scene = Scene(x, perplexities=[]).compute()
    part = scene.parts()["neighbours"]
    index = unpack(part["index"], "<u4").reshape(60, part["k"])
    unit = torch.nn.functional.normalize(x, dim=1)
    assert index.tolist() == (unit @ unit.T).fill_diagonal_(-2).topk(8).indices.tolist()


def test_trust_of_points_has_the_trustworthiness_as_its_mean():
    x, _ = clusters()
    y = torch.rand(60, 2)
    t = maps.trust(x, y, k=5)
    assert t.shape == (60,)
    assert 0 <= t.min() < t.max() <= 1
    assert t.mean().item() == pytest.approx(maps.trustworthiness(x, y, k=5), abs=1e-6)


def test_colours_say_what_is_unknown():
    data = pictures()
    data.factors["size"][3] = torch.nan
    data.labels[4] = -1
    scene = Scene(torch.rand(60, 4), data)
    colours = scene.parts()["colours"]["colours"]
    size, label = (unpack(colours[name]["values"], "<u2") for name in ("size", "label"))
    assert (size == 65535).nonzero()[0].tolist() == [3]
    assert (label == 65535).nonzero()[0].tolist() == [4]
    assert np.sort(size)[-2] == 65534
    assert np.isclose(colours["angle"]["low"], 90)
    assert colours["label"]["names"] == EVIL
    assert scene.plot("PCA", "size").caption


def test_snapshots_travel_in_time():
    x, _ = clusters()
    scene = Scene(torch.stack([x + i for i in range(3)]), steps=[0, 7, 40], perplexities=[6]).compute()
    assert {name: len(y) for name, y in scene.layouts.items()} == {"PCA": 3, "t-SNE": 3}
    assert scene.basis()["steps"] == [0, 7, 40]


def test_edges():
    assert Scene(torch.rand(2, 1)).compute().layouts["PCA"].shape == (1, 2, 2)
    assert Scene(torch.ones(9, 3), labels=torch.zeros(9)).compute().layouts  # collapsed, one class
    assert "cluster" in Scene(torch.rand(30, 3)).compute().colours


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Scene(torch.rand(5)), r"features has shape \(5,\), but must be \(N, D\)"),
        (lambda: Scene(torch.full((5, 2), torch.nan)), "NaN or infinity in 10 places"),
        (lambda: Scene(torch.rand(5, 2), labels=[1, 2]), "labels has 2 rows, but there are 5 points"),
        (lambda: Scene(torch.rand(5, 2), labels=[0, 1, 2, 3, 4], names=["a"]), "there are 1 class names"),
        (lambda: Scene(torch.rand(5, 2), layouts={"m": torch.rand(4, 2)}), r"layout 'm' has shape \(1, 4, 2\)"),
        (lambda: Scene(torch.rand(3, 5, 2), steps=[1]), "steps has 1 entries, features 3 snapshots"),
        (lambda: Scene(torch.rand(5, 2)).plot("tsne"), "Unknown layout 'tsne'.*Known: PCA"),
        (lambda: Scene(torch.rand(5, 2)).plot("PCA", "age"), "Unknown colouring 'age'"),
    ],
)
def test_bad_input(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(("n", "side", "kind"), [(50, 32, "png"), (5000, 32, "jpeg"), (12_000, 16, "jpeg")])
def test_the_sheet_has_every_picture_in_its_place(n, side, kind):
    shade = (torch.arange(n) * 7 % 256).byte()
    sheet = sprite(shade[:, None, None, None].expand(n, 1, 32, 32))
    assert (sheet["side"], sheet["type"]) == (side, f"image/{kind}") or (n == 5000 and sheet["side"] == 32)
    pixels = np.asarray(Image.open(BytesIO(sheet["data"])).convert("L"))
    for i in (0, 17, n - 1):
        row, column = divmod(i, sheet["columns"])
        one = pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert abs(int(one[side // 2, side // 2]) - int(shade[i])) <= 8


def test_small_pictures():
    grey = torch.arange(4).reshape(1, 1, 2, 2).byte() * 50
    assert small(grey, 4)[0, :, :, 0].tolist() == [[0, 0, 50, 50]] * 2 + [[100, 100, 150, 150]] * 2
    clear = torch.zeros(1, 4, 2, 2, dtype=torch.uint8)
    assert (small(clear, 2) == 217).all()
    assert encode(small(grey, 4)[0], "png")[1:4] == b"PNG"


def test_a_map_is_made_once_for_the_same_content(monkeypatch, tmp_path):
    made = []

    def make(x, shift=0.0):
        made.append(shift)
        return x[:, :2] + shift

    x = torch.rand(5, 3)
    first = maps.remembered(make, x, shift=1.0)
    assert torch.equal(maps.remembered(make, x.clone(), shift=1.0), first)
    maps.remembered(make, x, shift=2.0)
    maps.remembered(make, x + 1, shift=1.0)
    assert made == [1.0, 2.0, 1.0]
    monkeypatch.setattr(maps, "_MADE", {})  # a new process reads the file
    assert torch.equal(maps.remembered(make, x, shift=1.0), first)
    assert len(made) == 3
    for file in (tmp_path / "cache" / "maps").iterdir():
        file.write_bytes(b"damaged")
    monkeypatch.setattr(maps, "_MADE", {})
    assert torch.equal(maps.remembered(make, x, shift=1.0), first)
    assert len(made) == 4
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SSLKIT_CACHE", str(tmp_path / "file"))  # cannot be written: no harm
    maps.remembered(make, x, shift=9.0)


# ---- the widget


@pytest.fixture
def explorer():
    x, _ = clusters()
    e = Explorer(x, pictures(), perplexities=[8], seeds=[0]).wait(60)
    yield e
    e.close()


@pytest.mark.filterwarnings("ignore:Glyph")  # matplotlib has no fox
def test_state_and_plot_need_no_browser(explorer):
    state = explorer.state
    assert json.loads(json.dumps(state)) == state
    assert state["layouts"] == ["PCA", "t-SNE, perplexity 8"]
    assert state["layout"] == "t-SNE, perplexity 8"  # nobody has chosen, so it was shown when it came
    assert not state["working"]
    assert "trustworthiness" in explorer.plot().caption
    assert explorer.plot("PCA", colour="size").alt
    assert len(repr(explorer)) < 100


def test_the_selection(explorer):
    heard = []
    explorer.on_select(lambda index: heard.append(index.tolist()))
    explorer.selected = [5, 3, 3]
    assert explorer.selected.tolist() == explorer.state["selected"] == [3, 5]
    explorer.selected = torch.arange(60) < 2
    assert explorer.selected.dtype == torch.int64
    explorer.set_state({"selected_bytes": memoryview(np.array([7, 9], "<i4").tobytes())})  # as the browser sends it
    explorer.selected = []
    assert heard == [[3, 5], [0, 1], [7, 9], []]
    for wrong in ([60], [-1], [0.5]):
        with pytest.raises(ValueError, match="whole numbers from 0 to 59, or a mask of 60"):
            explorer.selected = wrong


def test_what_is_shown_is_checked(explorer):
    explorer.map, explorer.colour, explorer.epoch = "PCA", "trustworthiness", 99
    assert explorer.epoch == 0
    with pytest.raises(ValueError, match="Unknown layout 'tsne'"):
        explorer.map = "tsne"
    with pytest.raises(ValueError, match="Unknown colouring 'colour'"):
        explorer.colour = "colour"


def test_a_larger_picture_is_sent_on_demand():
    x, _ = clusters()
    images = torch.randint(0, 256, (60, 3, 64, 64), dtype=torch.uint8)
    e = Explorer(x, datasets.arrays(images), perplexities=[])
    e.hovered = 4
    assert e.picture["index"] == 4
    assert (np.asarray(Image.open(BytesIO(e.picture["data"]))) == images[4].permute(1, 2, 0).numpy()).all()
    e.close()


def test_linked_explorers():
    x, _ = clusters()
    a, b, other = Explorer(x, perplexities=[]), Explorer(x * 2, perplexities=[]), Explorer(x[:50], perplexities=[])
    unlink = widgets.link(a, b)
    a.selected, b.hovered = [1, 2], 7
    assert b.selected.tolist() == [1, 2]
    assert a.hovered == 7
    unlink()
    a.selected = []
    assert b.selected.tolist() == [1, 2]
    with pytest.raises(ValueError, match="60 and 50 points cannot be linked"):
        widgets.link(a, other)


def test_what_goes_wrong_in_the_background_is_said():
    x, y = clusters()
    e = Explorer(x, labels=y, perplexities=[], predicted=torch.zeros(3))
    with pytest.raises(ValueError, match="predicted has 3 labels"):
        e.wait(60)
    assert "predicted has 3 labels" in e.status
    assert e.plot().caption  # what there is stays usable


def test_closing_stops_the_background():
    running, release = threading.Event(), threading.Event()

    def predicted():
        running.set()
        while not release.wait(0.01):
            pass

    x, y = clusters()
    e = Explorer(x, labels=y, perplexities=[], predicted=predicted)
    assert running.wait(30)
    with pytest.raises(TimeoutError, match=r"not done after 0\.1 s\. Computing probe"):
        e.wait(0.1)
    e.close()
    assert not e._job.thread.is_alive()


def test_the_interpreter_ends_in_the_middle_of_a_tsne_without_a_word(tmp_path):
    code = (
        "import torch, time; from sslkit import widgets\n"
        "e = widgets.Explorer(torch.rand(1200, 20))\n"
        "while 't-SNE' not in e.status: time.sleep(0.01)\n"
        "time.sleep(0.3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_page_is_one_file_with_everything_as_data(explorer, tmp_path):
    explorer.selected = [1]
    page = explorer.save(tmp_path / "p.html").read_text()
    assert "http" not in re.sub(r"<script type=.application/json.*?</script>", "", page, flags=re.DOTALL)
    assert page.count("<script>alert") == 0
    found = json.loads(re.search(r"data-explorer>(.*?)</script>", page, re.DOTALL)[1])
    assert found["colours"]["colours"]["label"]["names"] == EVIL
    assert unpack(found["selected_bytes"], "<i4").tolist() == [1]
    assert unpack(found["layouts"]["PCA"]["xy"], "<u2").shape == (120,)
