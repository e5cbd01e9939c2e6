# %% [markdown]
# # 12 · Your pictures
#
# **The question: does it work on mine?**
#
# All pictures so far were made for this course. Yours were not. They have many sizes, some are damaged, some are there
# twice, and nobody has labelled them. In this notebook you go from a folder of files to an explorer and to an encoder in a
# file that other programs can use. And you ask at every step whether it was worth it.
#
# After this notebook you can
#
# * say what reading a folder does to your pictures, and what it takes away;
# * choose views that leave alone what matters to you;
# * split a folder so that copies stay on one side, and measure what happens if they do not;
# * say what can be known without labels, what forty labels can decide, and what not.
#
# About 60 minutes, 16 of them for two exercises. The code runs in about a minute on one CPU core, with no network.

# %%
import copy
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from IPython.display import Markdown, display
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

import sslkit
from sslkit import augment, datasets, doctor, evaluation, plots, recipes, widgets
from sslkit.exercises import check, find

print("sslkit", sslkit.__version__)

# %%
PICTURES = None  # try: "path/to/my/pictures"; None makes a folder to practise on

# %% [markdown]
# With a path there, every cell below works on your folder. Sub-folders are taken as classes; without them there are no
# labels. What we claim about *our* folder is then not claimed about yours, and cells that need labels say so.
#
# ## 1. Look before you train (6 minutes)
#
# The practice folder is a walk with a camera. It shows signs of four kinds, on walls of many colours. As people do, the
# walker often pressed the button more than once: such a *burst* shows the same sign two or three times, a little moved.
# And there is trouble in the folder, as in every folder.

# %%
KINDS = ("circle", "triangle", "cross", "heart")


def shoot(wall, n, generator):
    """One photograph of a part of the wall: the camera is never held twice in the same way."""
    wide, high = [(112, 84), (84, 112), (96, 96)][n % 3]
    left, top, light, zoom = torch.rand(4, generator=generator).tolist()
    left, top = int(left * (113 - wide)), int(top * (113 - high))
    picture = ImageEnhance.Brightness(wall.crop((left, top, left + wide, top + high))).enhance(0.85 + 0.3 * light)
    return picture.resize((int(wide * (0.8 + zoom)), int(high * (0.8 + zoom))))


# %%
def take_a_walk(folder, seed=0):
    """300 signs, one to three photographs of each: 017_b.jpg is the second of sign 17. Returns the signs."""
    looks = {"size": (0.55, 0.8), "angle": (-20, 20), "x": (-0.2, 0.2), "y": (-0.2, 0.2), "texture": 0.08}
    signs = datasets.load("shapes", n=600, resolution=112, seed=seed, contrast=(0.25, 0.4), **looks)
    signs, generator = signs[signs.labels % 2 == 0], torch.Generator().manual_seed(seed)
    for n, image in enumerate(signs.images):
        wall = Image.fromarray(image.permute(1, 2, 0).numpy())
        for letter in "abc"[: int(torch.randint(1, 4, (), generator=generator))]:
            picture = shoot(wall, n, generator).convert("L" if n % 25 == 4 else "RGB")  # some are grey
            picture.save(folder / f"{n:03d}_{letter}.{'png' if n % 4 == 0 else 'jpg'}")
    return signs


# %%
def add_copies(folder):
    """The same photographs under other names: lighter, smaller, compressed."""
    for n in range(21, 81, 5):
        first = next(folder.glob(f"{n:03d}_a.*"))
        copy_of = ImageEnhance.Brightness(Image.open(first).convert("RGB")).enhance(1.1)  # sent by a messenger
        copy_of.resize([side * 2 // 3 for side in copy_of.size]).save(folder / f"copy of {n:03d}.jpg", quality=40)


# %%
def add_trouble(folder):
    """A sideways camera, a transparent picture, a panorama, a lens cap, a damaged file, and one that is no picture."""
    sideways = Image.Exif()
    sideways[0x0112] = 6  # "turn me by a quarter": cameras write it instead of turning the pixels
    Image.open(folder / "005_a.jpg").rotate(90, expand=True).save(folder / "005_a.jpg", exif=sideways)
    cut = Image.open(folder / "008_a.png").convert("RGBA")
    hole = Image.new("L", cut.size)
    ImageDraw.Draw(hole).ellipse((0, 0, *cut.size), fill=255)
    cut.putalpha(hole)
    cut.save(folder / "008_a.png")
    row = [ImageOps.fit(Image.open(folder / f"{n:03d}_a.jpg"), (90, 90)) for n in (11, 13, 17, 19)]
    Image.fromarray(np.hstack([np.asarray(picture.convert("RGB")) for picture in row])).save(folder / "panorama.jpg")
    Image.new("RGB", (90, 120), (14, 11, 12)).save(folder / "lens cap.jpg")
    (folder / "damaged.jpg").write_bytes((folder / "009_a.jpg").read_bytes()[:900])
    (folder / "notes.txt").write_text("Not a picture.")

# %%
TEMPORARY = tempfile.TemporaryDirectory()
WORK = Path(TEMPORARY.name)  # everything that this notebook writes goes here, and is deleted at the end
MADE = PICTURES is None
FOLDER = WORK / "walk" if MADE else Path(PICTURES).expanduser()
if MADE:
    os.environ["SSLKIT_CACHE"] = str(WORK / "cache")  # decoded pictures are usually kept in your cache folder
    FOLDER.mkdir()
    signs = take_a_walk(FOLDER)
    add_copies(FOLDER)
    add_trouble(FOLDER)
files = sorted(path for path in FOLDER.rglob("*") if path.is_file() and not path.name.startswith("."))
print(f"{len(files):,} files, {sum(file.stat().st_size for file in files) / 2**20:.1f} MB, in {FOLDER.name}")

# %% [markdown]
# Which formats, sizes and shapes are there? Opening a file reads only its head, so this is quick.

# %%
def head(file):
    """Width, height, colours and orientation of a picture; None if it is none."""
    try:
        with Image.open(file) as picture:
            return (*picture.size, picture.mode, picture.getexif().get(0x0112, 1))
    except Exception:
        return None


heads = {file: head(file) for file in files}
seen = {file: found for file, found in heads.items() if found}  # {file: its head}
count = lambda values: ", ".join(f"{value}: {values.count(value):,}" for value in sorted(set(values)))
print("endings     ", count([file.suffix.lower() for file in files]))
print("colours     ", count([mode for _, _, mode, _ in seen.values()]), "(L is grey, A or P may be transparent)")
print("turned by the camera:", sum(turn != 1 for *_, turn in seen.values()))
sides = torch.tensor([sorted(found[:2]) for found in seen.values()], dtype=torch.float64)  # short, long
for name, x in {"short side in pixels": sides[:, 0], "long side / short side": sides[:, 1] / sides[:, 0]}.items():
    print(f"{name}: from {x.min():.1f} over {x.median():.1f} to {x.max():.1f}")

# %% [markdown]
# A network for small pictures wants squares of one size. So somebody has to turn, cut and shrink. Here it is by hand: turn
# the picture upright as the camera wrote it, take the middle square, resize it, and put what is transparent on grey.

# %%
SIDE = 32  # try: 48, which takes more than twice as long


def middle(picture):
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def on_grey(picture):
    return Image.alpha_composite(Image.new("RGBA", picture.size, (128, 128, 128, 255)), picture).convert("RGB")


def tensor(picture):
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # (3, H, W)


def read(file):
    try:
        picture = ImageOps.exif_transpose(Image.open(file)).convert("RGBA")
    except Exception:  # a damaged file, or no picture at all
        return None
    return tensor(on_grey(middle(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)))

# %%
by_hand = {file: picture for file in files if (picture := read(file)) is not None}
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    photos = datasets.folder(FOLDER, size=SIDE, val=0, test=0)  # one part, so in the order of the sorted paths
for warning in said:
    print(str(warning.message).replace(str(FOLDER), FOLDER.name))
kept = list(by_hand)
assert len(kept) == len(photos)  # claim: the package leaves out the same files
gap = (torch.stack(list(by_hand.values())) / 255 - augment.to_float(photos.images)).abs().mean((1, 2, 3))
assert gap.median() < 0.03  # claim: and reads the others as we do (large JPEGs it decodes at a fraction of their size)
print(photos)

# %% [markdown]
# `datasets.folder` (or `datasets.load` with a path) counts and names what it cannot read, and goes on. It decodes once
# and keeps the result. If a single picture is transparent, all get a fourth channel; views then put it on random grounds,
# and evaluation puts it on grey. Normally it also splits; we do this ourselves, in section 2.
#
# What did this take away? Look at odd files: the most stretched ones, and one of each kind: grey, transparent, turned.

# %%
def whole(file, side=96):
    picture = on_grey(ImageOps.exif_transpose(Image.open(file)).convert("RGBA"))
    return tensor(ImageOps.pad(picture, (side, side), color=(255, 255, 255)))


def through(file, pixels, side=96):
    square = on_grey(middle(ImageOps.exif_transpose(Image.open(file)).convert("RGBA")))
    return tensor(square.resize((pixels, pixels), Image.Resampling.BICUBIC).resize((side, side), Image.Resampling.NEAREST))


stretched = sorted(kept, key=lambda file: -max(seen[file][:2]) / min(seen[file][:2]))[:2]
each_kind = {seen[file][2:]: file for file in kept}  # a file for each kind of colours and each orientation
rows = list(dict.fromkeys([*stretched, *each_kind.values()]))[:6]
parts = {"middle square": 96, "32 pixels": 32, "16 pixels": 16, "8 pixels": 8}
columns = {title: torch.stack([through(file, pixels) for file in rows]) for title, pixels in parts.items()}
figure = plots.repainted(torch.stack([whole(file) for file in rows]), columns)
figure.caption = (
    "Left: whole files, turned upright. Then the middle square, and what a network sees at 32, 16 and 8 pixels. "
    "Look for what is cut off at the sides, and for the column in which you cannot name the thing any more."
)
figure

# %% [markdown]
# A rule of thumb: if *you* cannot see it at this size, the encoder will not learn it. If what matters is small or at the
# border, cut your pictures before you train.
#
# ## 2. What belongs together? (4 minutes, and 8 for an exercise)
#
# To find out whether anything was learned, some pictures must be put aside. The usual way is to draw them at random.
#
# **Predict before you run.** Draw a quarter of the pictures at random for the test. Of how many test pictures does the
# training split have another photograph of the same burst?

# %%
my_prediction = None  # in percent

# %%
def burst(file):
    """What tells that two pictures belong together: here the name. try: a day, a patient, a video, a place."""
    return file.stem.split("_")[0] if MADE else str(file)


names, groups = np.unique([burst(file) for file in kept], return_inverse=True)
groups = torch.from_numpy(groups)  # (N,)
order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(0))
test = torch.zeros(len(kept), dtype=torch.bool)
test[order[: len(kept) // 4]] = True
seen_before = torch.isin(groups[test], groups[~test]).double().mean().item()
print(f"{len(names):,} groups of {len(kept):,} pictures")
print(f"test pictures with a sibling in training: {seen_before:.0%}. You wrote: {my_prediction or 'nothing yet'}.")
if MADE:
    assert seen_before > 0.5  # claim: most test pictures have been seen before, nearly

# %% [markdown]
# Such an exam asks for memory. In your own work the siblings are often less visible: frames of a video, slices of one
# patient, pictures of one day. Ask whoever took the pictures.
#
# ### Exercise 12a (8 minutes)

# %%
def split_by_group(groups, generator, share):
    """groups: (N,) whole numbers, the group of each picture; there may be gaps between them. Shuffle the groups
    with the generator, and take one after another into the test, as long as the test has fewer than share * N
    pictures. A tensor (N,) of bools: True for test pictures."""
    return None  # your lines here


# %%
check("12a", split_by_group)

# %% [markdown]
# The package does this for `datasets.arrays(..., groups=...)`, and for `datasets.folder(..., groups=burst)`, which asks
# your function for each file. We give it no labels: they stay in the drawer until section 7.

# %%
data = datasets.arrays(photos.images, groups=groups, val=0.125, test=0.25, seed=0)
data.name = FOLDER.name
in_train, in_test = data.split == 0, data.split == 2  # (N,) each
mine = find("12a").reference(groups, torch.Generator().manual_seed(0), 0.25)  # do not look yet
for test in (mine, in_test):
    assert not torch.isin(groups[test], groups[~test]).any()  # claim: no group is divided, by neither
print(data)

# %% [markdown]
# Are all siblings known now? Names tell only what somebody wrote into them. Section 9 looks again.
#
# ## 3. Which views? (5 minutes)
#
# Two views of a picture differ in some things, and the encoder is asked to ignore these (notebooks 02 and 09). So ask of each
# operation: *may this change, and is it still the same for me?*
#
# | if your question is about | do not |
# |---|---|
# | colours (dyes, ripeness, uniforms) | turn the hue, remove colour |
# | letters, digits, left and right hands | flip |
# | brightness, intensity (X-rays, spectrograms) | jitter brightness and contrast |
# | small things, counts, the border | cut small crops |
# | fine texture, sharpness | blur |
#
# `recipes.views_for(data)` has views for the sets of this course. For a folder it can only guess: photographs.

# %%
print(recipes.views_for(data))
VIEWS = {
    "colours may change": augment.Policy(scale=(0.4, 1.0), hue=0.5, gray=0.5),
    "colours stay": augment.Policy(scale=(0.4, 1.0), hue=0.0, saturation=0.2, gray=0.0),
}
few = data.train.images[:: max(len(data.train) // 4, 1)][:4]
drawn = [augment.view(few, policy, torch.Generator().manual_seed(seed)) for policy in VIEWS.values() for seed in (0, 1)]
figure = plots.repainted(augment.to_float(few), dict(zip([f"{n}{i}" for n in ("change ", "stay ") for i in "12"], drawn)))
figure.caption = (
    "Some pictures, two views in which colours may change, and two in which they stay. Decide for your pictures: which pairs "
    "show the same thing?"
)
figure

# %% [markdown]
# We train with both. For the walk we have two questions: what *kind* of sign is it, and which *colour* does it have?
#
# **Predict before you run.** Which views are better for which question, and is one of the encoders worse than no training?
# The answer comes in section 5.

# %%
my_prediction = None

# %% [markdown]
# ## 4. How long will it take? (2 minutes)
#
# Ask before you start, on your machine and with your pictures. We take `quick`, the fast recipe of this package. Its loss is DCL: the loss of
# SimCLR, without the partner in its denominator. The first filters of its encoder are small patches of your pictures. And when training is done, it
# *whitens* the features: it turns and stretches them so that, over the training pictures, all directions have the same spread and no two
# are correlated. Here the encoder is half as wide as usual, so that a lesson is enough. For real work leave out `encoder=`, and give it
# minutes instead of seconds.

# %%
BATCH, STEPS = min(128, len(data.train)), 100


def half_as_wide(seed=0, like=data):
    ends = {"patches": True, "all_stages": True, "grid": 2, "dictionary": 64, "whiten": True}  # like quick, but no mirror
    return recipes.encoder(like, seed=seed, widths=(16, 32, 64), **ends)


def learn(part, views, seed=0, steps=STEPS):
    size = min(BATCH, len(part.train))
    settings = {"batch_size": size, "precision": "float32", "marks": 0, "progress": False}
    policies = (VIEWS[views],) * 2
    return sslkit.pretrain("quick", part, steps=steps, seed=seed, encoder=half_as_wide(seed), policies=policies, **settings)


method, usual = recipes.recipe("quick", data, encoder=half_as_wide())
settings = {**usual, "batch_size": BATCH, "precision": "float32"}
for steps in (STEPS, 3000):
    print(f"{steps:,} steps:", doctor.duration(doctor.training(method, data, steps, **settings)), "of training")

# %% [markdown]
# This holds if the machine stays as busy as it is now. `python -m sslkit doctor` tells more.
#
# ## 5. Pretrain, and count pictures (5 minutes)

# %%
runs = {views: learn(data, views) for views in VIEWS}
runs["colours may change"]

# %% [markdown]
# The exam needs labels. For the walk we take them out of the drawer now, to see what you could not see without them: for
# each picture the kind of its sign, and one of four ranges of its colour. For class folders it is the class.

# %%
def label(file, of):
    """The label of the sign in the file's name, -1 if there is none (the lens cap, the panorama)."""
    found = re.search(r"\d{3}", file.stem)
    return int(of[int(found.group())]) if found else -1


drawer = {}  # {question: labels (N,)}
if MADE:
    turn = torch.atan2(signs.factors["hue"][:, 1], signs.factors["hue"][:, 0]) / torch.pi % 2  # 0 to 2 around the circle
    answers = {"kind": signs.labels // 2, "colour": (2 * turn).long().clamp(max=3)}
    drawer = {question: torch.tensor([label(file, of) for file in kept]) for question, of in answers.items()}
elif photos.labels is not None:
    drawer = {"class": photos.labels}
else:
    print("There are no labels: what needs them is left out. Sub-folders would be classes.")
# %%
pixels = augment.to_float(data.images).flatten(1)  # (N, 3 * 32 * 32)


def neighbours_vote(h, y, test=in_test, train=in_train):
    """kNN: the labelled training pictures vote on the test pictures."""
    train, test = train & (y >= 0), test & (y >= 0)
    return evaluation.knn(h[train], y[train], h[test], y[test])


def untrained(run):
    """The same network without training. What quick fits without gradients (patches, whitening) it has, too."""
    return copy.deepcopy(run.untrained).eval().finish(augment.to_float(run.data.train.images))


first = runs["colours may change"]
features = {views: run.embed(data) for views, run in runs.items()}  # (N, D) each
features["random encoder"] = evaluation.features(untrained(first), data.images)
features["raw pixels"] = pixels
marks = {name: {f"{q} (kNN)": neighbours_vote(h, y) for q, y in drawer.items()} for name, h in features.items()}
# %%
if drawer:
    chance = max(y[in_test & (y >= 0)].bincount().max().item() / (in_test & (y >= 0)).sum().item() for y in drawer.values())
    figure = plots.compare(marks, chance=chance)
    figure.caption = (
        "How often the neighbours' vote is right, with 95 % intervals over test pictures; one training each. Compare the two "
        "encoders in the two rows, then each with the random encoder. The line is always answering the most frequent class."
    )
    display(figure)
    for name, row in marks.items():
        print(f"{name:20}", ", ".join(f"{question} {score}" for question, score in row.items()))
    print(f"You wrote: {my_prediction or 'nothing yet'}.")

# %%
if MADE:
    change, stay, no_training = (marks[name] for name in ("colours may change", "colours stay", "random encoder"))
    kind, colour = "kind (kNN)", "colour (kNN)"
    assert change[kind].value > no_training[kind].value + 0.05  # claim: the right views help with the kind of sign ...
    assert change[kind].value > stay[kind].value + 0.08  # ... and the wrong ones do not
    assert stay[colour].value > change[colour].value + 0.12  # claim: for the colour it is the other way round
    assert change[colour].value < no_training[colour].value  # claim: and there the wrong views are worse than no training

# %% [markdown]
# The same pictures, the same network, the same seconds. Only the views differ, and each encoder is good for one question and
# poor at the other. No method in this course can choose your question for you.
#
# ### Is it enough?
#
# How many pictures does one need? We give the encoder fewer to learn from, with as many steps. The exam stays the same.
#
# **Predict before you run.** Say how many pictures are needed until learning beats the random encoder by ten points.

# %%
my_prediction = None

# %%
if drawer:
    question = next(iter(drawer))
    rows = in_train.nonzero().flatten()
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    curve = {name: {len(rows): marks[name][f"{question} (kNN)"]} for name in marks if name != "colours stay"}
    for n in (max(len(rows) // 8, 16), max(len(rows) // 3, 32)):  # try: other numbers
        run = learn(data[rows[:n]], "colours may change")
        curve["colours may change"][n] = neighbours_vote(run.embed(data), drawer[question])
        curve["random encoder"][n] = neighbours_vote(evaluation.features(untrained(run), data.images), drawer[question])
    curve = {name: dict(sorted(scores.items())) for name, scores in curve.items()}
    figure = plots.difficulty(curve, knob="pictures to learn from")
    figure.caption = (
        f"The vote of the neighbours for the {question}, by the number of pictures that the encoder could learn from. The "
        "labelled neighbours are always the same. Look at the gap between the two lines, and at the width of the intervals."
    )
    display(figure)
    for name, scores in curve.items():
        print(f"{name:20}", ", ".join(f"{n} pictures {score}" for n, score in scores.items()))
    print(f"You wrote: {my_prediction or 'nothing yet'}.")

# %%
if MADE:
    gains = {n: curve["colours may change"][n].value - curve["random encoder"][n].value for n in curve["random encoder"]}
    print("above the random encoder:", ", ".join(f"{gain:+.2f} with {n} pictures" for n, gain in gains.items()))
    enough = [n for n, gain in gains.items() if gain >= 0.1]
    print("ten points above it:", f"from {min(enough)} pictures on" if enough else "with none of these numbers")
    assert min(gains.values()) > 0.03  # claim: even few pictures are better than none ...
    assert len(kept) < 1000

# %% [markdown]
# Few pictures go far *here*: four kinds of signs on simple walls, an encoder that begins with patches of your own
# pictures, and a question that the views fit. The random encoder is strong, too: all that `quick` fits without a gradient it
# has as well. For the same reason it gets worse with few pictures: its patches and its whitening are made of them. So a gain can be large
# because the *baseline* is low: look at both curves. Photographs of real life are much harder. Read the gap, not the height: if it is inside the intervals, you do
# not know yet whether training helped, and more *different* pictures help more than more steps.
#
# ## 6. Is it any good, without labels? (4 minutes)
#
# Usually there is no drawer with labels. What can you know then? Three numbers need none:
#
# * **spread** and **RankMe** (notebook 07): has it collapsed, and how many directions are in use?
# * **finds shifted copy**: a test picture is moved and made smaller. Is its nearest neighbour the original?

# %%
moved = evaluation.perturb(data.test.images, torch.Generator().manual_seed(0))
tests, copies = {}, {}
for name in features:
    encoder = runs[name].encoder if name in runs else untrained(first)
    tests[name] = features[name][in_test]
    copies[name] = augment.to_float(moved).flatten(1) if name == "raw pixels" else evaluation.features(encoder, moved)
lines = ["| | spread (of 1) | RankMe | finds shifted copy |" + "".join(f" {q} (kNN) |" for q in drawer)]
lines += ["|---|" + "---:|" * (3 + len(drawer))]
ids = torch.arange(len(data.test))
for name, h in tests.items():
    report = evaluation.collapse(h)
    found = evaluation.retrieval(copies[name], ids, h, ids)
    numbers = [report["std"] / report["std_spread"], report["rankme"], found.value]
    known = "".join(f" {score.value:.2f} |" for score in marks[name].values())
    lines.append("| {} | {:.2f} | {:.0f} | {:.2f} |".format(name, *numbers) + known)
display(Markdown("\n".join(lines)))
print(evaluation.collapse(tests["colours may change"])["verdict"])

# %% [markdown]
# The first three columns can warn you. A collapse is always bad. An encoder that does not find the shifted copy still looks at place and
# size: bad for a search, and perhaps harmless for another question. But these columns cannot choose. Compare the two trained encoders in
# them, and then in the columns of the questions. And the random encoder has a full spread, too, because its features are whitened.
#
# So look with your eyes, at neighbours. Do not ask "are they similar?". They always are, somehow. Ask "similar *in what*,
# and is it what I need?".

# %%
chosen = ids[:: max(len(ids) // 5, 1)][:5]  # try: other pictures
shown = {}
for name, h in features.items():
    if name in runs:
        _, near = evaluation.nearest(h[in_test][chosen], h[in_train], k=min(7, int(in_train.sum())))
        figure = plots.neighbours(data.test.images[chosen], data.train.images[near])
        figure.caption = f"{name}: test pictures (left) and their nearest training pictures. What do they share, what not?"
        display(figure)

# %% [markdown]
# ## 7. Label forty (4 minutes)
#
# An hour with a pencil gives you some labels. Forty pictures are soon done. What can they decide? (For the walk, the labels
# come from the drawer. For your folder without classes, write them into `drawer`: a tensor (N,), with -1 where you do not
# know, in the order of `kept`.)
#
# We use them in two ways: to *teach* a linear probe, and to *judge* one.

# %%
def forty(h, y, seed, n=40):
    """A probe on n labelled training pictures, judged on all labelled test pictures: (M,) right or wrong."""
    known = (in_train & (y >= 0)).nonzero().flatten()
    pick = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))[:n]]
    probe = evaluation.fit_linear(h[pick], y[pick], decays=(0.01,))
    asked = in_test & (y >= 0)
    return (probe.predict(h[asked]) == y[asked]).float()


if drawer:
    y = drawer[question]
    right = {name: torch.stack([forty(h, y, seed) for seed in range(10)]) for name, h in features.items()}  # (10, M)
    for name, r in right.items():
        each = r.mean(1)
        print(f"{name:20} taught by forty, ten draws: {each.mean():.2f}, from {each.min():.2f} to {each.max():.2f}")

# %% [markdown]
# Which forty you label matters: look how far the ten draws differ. And compare with section 5. With all labels the vote told
# the right views clearly from the wrong ones, and from no training. With forty the three networks are close together, and only
# raw pixels are clearly behind. Forty labels are too few to use what is there: a linear probe has a weight for each of hundreds
# of dimensions. (The README says of `quick` that with few labels plain SimCLR is ahead of it on `shapes`.) Now the other use. Suppose that you have forty *more* labels, and no
# other, to judge with. Are the encoder and the random one different?

# %%
if drawer:
    ours, theirs = right["colours may change"][0], right["random encoder"][0]
    few = torch.randperm(len(ours), generator=torch.Generator().manual_seed(1))[:40]
    for name, r in {f"{len(ours)} to judge": (ours, theirs), f"{len(few)} to judge": (ours[few], theirs[few])}.items():
        gaps = r[0] - r[1]  # picture by picture: both took the same exam
        drawn = torch.randint(len(gaps), (2000, len(gaps)), generator=torch.Generator().manual_seed(0))
        low, high = gaps[drawn].mean(1).quantile(torch.tensor([0.025, 0.975])).tolist()
        print(f"{name:18} encoder {evaluation.accuracy(r[0])}, difference {gaps.mean():+.2f} [{low:+.2f}, {high:+.2f}]")
    widths = [evaluation.accuracy(r) for r in (ours, ours[few])]
    if MADE:
        assert widths[1].high - widths[1].low > 1.3 * (widths[0].high - widths[0].low)  # claim: forty judge poorly
        assert right["colours may change"].mean() > right["raw pixels"].mean() + 0.08  # claim: they see large gaps only

# %% [markdown]
# Read the brackets aloud. With forty test pictures the interval is so wide that only very large differences can be seen. That
# is enough to find out that something is broken. It is not enough to choose between two views, or two methods. Spend the next
# labels on the *test*, and spread them over days, places and cameras.
#
# ## 8. The explorer and the report (2 minutes)

# %%
run = first
explorer = run.explore()
explorer

# %%
explorer.plot()

# %% [markdown]
# Nothing is coloured, because `data` has no labels. Point at a picture to see its true neighbours, draw a lasso, and
# `explorer.selected` has the numbers. Islands are an invitation to look, not a result (notebook 05). The report has the same
# explorer on one page that opens offline, for whoever gave you the pictures:

# %%
page = run.report(WORK / "report")
beside = sorted(file.name for file in page.parent.iterdir() if file != page)
print(f"{page.name}, {page.stat().st_size / 2**20:.1f} MB, beside {', '.join(beside[:4])}, ...")

# %% [markdown]
# ## 9. Copies and outliers (5 minutes, and 8 for an exercise)
#
# An encoder says which pictures are alike. So it can tidy up your folder: find what is there twice, and what belongs
# nowhere.
#
# ### Exercise 12b (8 minutes)

# %%
def near_duplicates(z, threshold):
    """z: (N, D), the features of N pictures, of any lengths. All pairs of different pictures whose cosine is at
    least the threshold, each pair once, the smaller number first: a tensor (P, 2), or a list of pairs."""
    return None  # your lines here


# %%
check("12b", near_duplicates)

# %% [markdown]
# Which encoder should look for copies? Copies are cut, shifted, compressed, made lighter, but they keep their colours. So
# take the one that was *not* taught to ignore colours. The threshold has to be looked for: here are pairs at several
# cosines.

# %%
pairs_at = find("12b").reference  # the package's answer to the exercise; do not look yet
z = torch.nn.functional.normalize(features["colours stay"], dim=1)
pairs = pairs_at(z, 0.2)
cosine = (z[pairs[:, 0]] * z[pairs[:, 1]]).sum(1)
levels = [level for level in (0.9, 0.75, 0.6, 0.5, 0.4, 0.3) if (cosine >= level).any()]
shown = torch.stack([pairs[(cosine - level).abs().argsort()[:3]] for level in levels])  # (L, 3, 2)
look = augment.to_float(data.images)
if levels:
    titles = ("pair 1, b", "pair 2, a", "pair 2, b", "pair 3, a", "pair 3, b")
    columns = {title: look[shown[:, i // 2, i % 2]] for i, title in enumerate(titles, 1)}
    figure = plots.repainted(look[shown[:, 0, 0]], columns, first="pair 1, a")
    figure.caption = "Three pairs a row, at cosines near " + ", ".join(map(str, levels)) + " (from above). Where do copies end?"
    display(figure)

# %%
THRESHOLD = 0.5  # try: what you have seen
copies_found = pairs_at(z, THRESHOLD)
told = groups[copies_found[:, 0]] == groups[copies_found[:, 1]]
print(f"{len(copies_found):,} pairs; the names tell {int(told.sum()):,} of them, new are {int((~told).sum()):,}")
sure = (z[copies_found[:, 0]] * z[copies_found[:, 1]]).sum(1).argsort(descending=True)
for i, j in copies_found[sure][~told[sure]][:5].tolist():  # the most alike first
    print("   ", kept[i].name, "and", kept[j].name)
if MADE:
    sign = torch.tensor([label(file, torch.arange(300)) for file in kept])
    same = ((sign[:, None] == sign) & (sign >= 0)).triu(1)  # (N, N), the smaller number first
    true = same[copies_found[:, 0], copies_found[:, 1]]
    print(f"of these {true.double().mean():.0%} show the same sign; of all such pairs {true.sum() / same.sum():.0%} are found")
    assert true.double().mean() > 0.8 and 0.3 < true.sum() / same.sum() < 0.95  # claim: mostly right, and not complete

# %% [markdown]
# Some copies are found that no name tells, others are missed: what was shot from another side has another middle square. And
# some pairs are no copies, only alike. A lower threshold finds more of all three. So a person looks at the list, and the
# threshold is a question of what is worse.
#
# ### What copies do to an exam
#
# Now the classic mistake, measured. We draw a test split twenty times in two ways: pictures at random, and whole groups. In
# the walk we know which sign a picture shows, and a group has all pictures of its sign. In a folder of yours a group is made by
# the names, joined with the copies that we found. The vote comes from the *one* nearest neighbour. Encoders and features stay the same.
#
# **Predict before you run.** How many points better does the exam look if copies may stand on both sides? Take the raw
# pixels, which understand nothing. Record it in the card.

# %%
def joined(groups, pairs):
    """Groups that have a pair in common become one."""
    groups = groups.clone()
    for i, j in pairs.tolist():
        groups[groups == groups[j]] = groups[i].clone()
    return groups


together = joined(groups, copies_found)
clean = joined(groups, same.nonzero()) if MADE else together
alone = torch.arange(len(kept))
take_apart = find("12a").reference  # the package's answer to the exercise


# %%
def exam(h, y, groups, seed):
    test = take_apart(groups, torch.Generator().manual_seed(seed), 0.25)
    known = y >= 0
    return 100 * evaluation.knn(h[~test & known], y[~test & known], h[test & known], y[test & known], k=1).value


def points(name):
    """How much better the exam of leaky splits looks, for twenty draws."""
    h, y = features[name], next(iter(drawer.values()))
    return [exam(h, y, alone, seed) - exam(h, y, clean, seed) for seed in range(20)]


card = None
if drawer:
    card = widgets.Predict("Raw pixels: how much better does a leaky exam look?", lambda: points("raw pixels"), unit="points")
card

# %%
if drawer:
    leaks = {}
    for name in ["raw pixels", "random encoder", "colours may change"] + ["colours stay"] * MADE:  # else it made the groups
        leaky, fair = (np.mean([exam(features[name], y, g, seed) for seed in range(20)]) for g in (alone, clean))
        leaks[name] = leaky - fair
        print(f"{name:20} pictures at random {leaky:.0f}, groups {fair:.0f}, so {leaks[name]:+.0f} points")
    if MADE:
        assert leaks["raw pixels"] > 8  # claim: copies on both sides make an exam look much better ...
        assert leaks["raw pixels"] > leaks["colours may change"] + 3  # ... least where the question was understood

# %% [markdown]
# The leak helps most where the features only remember pixels, and least where they fit the question. So it does not only raise
# numbers. It can change their *order*, and then the worse method is chosen: compare *colours stay* with the random encoder, with pictures at
# random and with groups.
#
# ### What belongs nowhere?
#
# An outlier has no near neighbour. Take the cosine with the nearest picture of another group, and sort.

# %%
lonely = z @ z.T
lonely[together[:, None] == together] = -1
order = lonely.max(1).values.argsort()  # the loneliest first
print("first:", ", ".join(kept[i].name for i in order[:6]))
flat = look.std((1, 2, 3)).argsort()  # the flattest first
print("flattest:", ", ".join(kept[i].name for i in flat[:3]))
for name in ("panorama.jpg", "lens cap.jpg") if MADE else ():
    lonely_at, flat_at = (next(n for n, i in enumerate(by) if kept[i].name == name) + 1 for by in (order, flat))
    print(f"{name}: number {lonely_at} of {len(order)} by loneliness, {flat_at} by flatness")
    assert min(lonely_at, flat_at) <= 5  # claim: each is found by one of the two ...
titles = ("4 to 6", "7 to 9", "10 to 12")
columns = {title: look[order[3 * i : 3 * i + 3]] for i, title in enumerate(titles, 1)}
figure = plots.repainted(look[order[:3]], columns | {"the flattest": look[flat[:3]]}, first="1 to 3")
figure.caption = (
    "The twelve loneliest pictures, column by column, and the three flattest (right). Is there anything to throw away?"
)
figure

# %% [markdown]
# Look at the lens cap, the darkest of the flattest. An encoder does not find all that a person would call odd: to this one a dark picture is like other
# dark pictures. Here a simple number finds it, so use simple numbers, too. And nobody deletes by a number. Outliers are
# damaged pictures, or the only pictures of something rare, and these are the ones that you want to keep most.
#
# ## 10. Take it with you (4 minutes)
#
# `run.save` writes the whole run, `run.export` the encoder alone: the weights as safetensors, which hold no code, and a card
# that says what they are. Somebody else does not need sslkit to use it. `docs/load_encoder.py` shows how, with torch and
# safetensors. We try it in a fresh process.

# %%
from safetensors.torch import load_file, save_file

folder = run.export(WORK / "encoder")
print({file.name: f"{file.stat().st_size / 1024:.0f} kB" for file in sorted(folder.iterdir())})
some = augment.to_float(data.test.images[:20])  # (20, 3, 32, 32) in [0, 1]; what is transparent lies on grey
save_file({"pictures": some.contiguous()}, WORK / "pictures.safetensors")
PROGRAM = """
import sys; sys.path.insert(0, sys.argv[1])
import torch; from load_encoder import load; from safetensors.torch import load_file, save_file
encoder, card = load(sys.argv[2] + "/encoder")
with torch.no_grad():
    h = encoder(load_file(sys.argv[2] + "/pictures.safetensors")["pictures"])
save_file({"features": h}, sys.argv[2] + "/features.safetensors")
print(tuple(h.shape), "features; sslkit is loaded:", "sslkit" in sys.modules)
"""

# %%
DOCS = Path("../docs")  # of the repository
if (DOCS / "load_encoder.py").exists():
    asked = [sys.executable, "-c", PROGRAM, str(DOCS), str(WORK)]
    print(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    elsewhere = load_file(WORK / "features.safetensors")["features"]
    here = run.embed(some)
    assert torch.allclose(here, elsewhere, atol=1e-3 * float(here.abs().max()))  # claim: the same features
    print(f"largest difference: {(here - elsewhere).abs().max():.1e}, of features up to {here.abs().max():.1f}")

# %% [markdown]
# Whoever uses it must do the same to the pictures: upright, the middle square, the same side, three colours, from 0 to 1.
# Nothing in the weights tells when this was forgotten. The features are only worse.
#
# In scikit-learn the encoder is one step of a pipeline. (`sslkit.Embedding` also *learns* one, in `fit`.)

# %%
if drawer:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    encode = FunctionTransformer(lambda x: run.embed(x).numpy())
    pipeline = make_pipeline(encode, StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    learn_on, judge_on = in_train & (y >= 0), in_test & (y >= 0)
    x = augment.to_float(data.images).numpy()  # (N, 3, 32, 32)
    pipeline.fit(x[learn_on], y[learn_on])
    print(f"{question}, all training labels, test: {pipeline.score(x[judge_on], y[judge_on]):.2f}")

# %% [markdown]
# ## 11. What goes out with the encoder? (3 minutes)
#
# An exported encoder holds no pictures. But may somebody who has it, and has a picture, find out whether this picture was in
# the training? That is a *membership attack*. For a contrastive encoder one can look at how alike it makes the views of a
# picture: for what it has trained on, more alike (arXiv 2108.11023). We try this, and something even simpler: the length of
# the features.

# %%
def above(a, b):
    """How often a number of a is larger than one of b; 1/2 is luck, 0 and 1 betray everything."""
    return ((a[:, None] > b).double() + (a[:, None] == b) / 2).mean().item()


def alike(encoder, images, n=6):
    """For each picture, the mean cosine of n views with their mean."""
    drawn = [augment.view(images, VIEWS["colours may change"], torch.Generator().manual_seed(i)) for i in range(n)]
    h = torch.stack([torch.nn.functional.normalize(evaluation.features(encoder, view), dim=1) for view in drawn])
    return torch.nn.functional.cosine_similarity(h, h.mean(0, keepdim=True), dim=2).mean(0)


attacks, bare = {}, copy.deepcopy(run.encoder)
bare.whitening = None
for name, encoder in {"this encoder": run.encoder, "random encoder": untrained(run), "without whitening": bare}.items():
    inside, outside = (evaluation.features(encoder, part.images).norm(dim=1) for part in (data.train, data.test))
    views = above(alike(encoder, data.train.images), alike(encoder, data.test.images))
    attacks[name] = {"short features": above(outside, inside), "views alike": views}
    print(f"{name:16}", ", ".join(f"{attack}: {share:.2f}" for attack, share in attacks[name].items()))
if MADE:
    assert attacks["this encoder"]["short features"] > 0.75  # claim: the length alone nearly tells who was there ...
    assert attacks["random encoder"]["short features"] > 0.7  # claim: ... even where no gradient ever saw a picture
    assert abs(attacks["without whitening"]["short features"] - 0.5) < 0.12  # claim: it is the whitening that tells

# %% [markdown]
# One half would be luck. The length betrays far more, also without any training. The reason is the *whitening* that `quick`
# fits at the end. With fewer pictures than dimensions there are directions in which the training pictures hardly differ, and whitening stretches
# exactly these. A new picture does differ there. So its features become long, and those of the training pictures stay short. So the
# number of pictures matters. We ask untrained encoders, with drawn pictures:

# %%
drawn = datasets.load("shapes", n=4000)
fades = {}
for n in (300, 1000, 3700):
    encoder, known = half_as_wide(like=drawn).eval(), augment.to_float(drawn.images[:n])
    encoder.set_statistics(known)
    encoder.finish(known)
    inside, outside = (evaluation.features(encoder, x).norm(dim=1) for x in (drawn.images[:300], drawn.images[3700:]))
    fades[n] = above(outside, inside)
print(f"{encoder.dim} dimensions;", ", ".join(f"{n} pictures: {share:.2f}" for n, share in fades.items()))
assert fades[300] > fades[1000] + 0.1 > fades[3700] + 0.1  # claim: with more pictures it fades

# %% [markdown]
# The views, the attack of the paper, give little here. That is no proof of innocence: this training was short, and the
# attack simple. And there are more traces. `quick` begins with patches cut from your pictures, which are in the file, if only
# a few pixels wide. The card has the name of your folder. So faces, patients and letters do not become harmless because they
# went through a network. Take an encoder without whitening (every method but `quick` has one), or many pictures; measure; and
# ask those whose pictures they are.
#
# ### Or take a big network?
#
# Honestly: for photographs of everyday things a network that was pretrained on millions of pictures will usually be better
# than anything you can train here, also with forty labels. If you have a network connection and may use one, try it first,
# as one more row in your table, with the same exam. Then ask whether yours adds something.
#
# Learning from your own pictures makes sense where such networks know little or cannot go: microscopes, spectrograms, X-rays,
# satellites with many bands, odd sensors; where no network is allowed or at hand; where pictures must not leave the house;
# on a device with little memory; and where you want to decide what is forgotten. This notebook has not compared the two:
# there is no network here to fetch a large one with.

# %%
TEMPORARY.cleanup()

# %% [markdown]
# ## What to remember
#
# * Look first: sizes, what the middle square cuts off, what is damaged. What you cannot see at that size is not learned.
# * Choose views by what must *not* change for your question. Wrong ones can be worse than no training.
# * Split by group, and look for copies before you believe a number.
# * Without labels you can see a collapse, not a use. Forty labels tell good from broken, not good from better.
# * An encoder can tell who was in its training. Measure before you give it away.
#
# **Further reading.** Leaks in many fields: "Leakage and the reproducibility crisis in ML-based
# science", arXiv 2207.07048. Near duplicates in famous test sets: "Do we train on test data?", arXiv 1902.00423. Membership of
# contrastive encoders: EncoderMI, arXiv 2108.11023. RankMe: arXiv 2210.02885. Which views for which task: "What makes for good
# views", arXiv 2005.10243. Large networks without labels: DINOv2, arXiv 2304.07193.
#
# **Next: 13 · Scale up.** What changes when there are many more pictures, and a GPU.
