# %% [markdown]
# # 04 · Train SimCLR
#
# **The question: what happens while it trains?**
#
# You know the views (notebook 02) and the loss (notebook 03). Here they become a training: a loop that shows views to a
# network and changes the network a little, again and again. You write this loop, compare it with the package's, stop a
# training and continue it, and learn what to look at while it runs.
#
# After this notebook you can
#
# * write a training loop for SimCLR: collect, forward, backward, step;
# * stop a training at any moment and continue it, without changing the result by one bit;
# * read a loss curve with its reference lines, and say why a lower loss need not be a better network;
# * say what the projection head is for, and measure it.
#
# About 85 minutes, 20 of them for two exercises. The code runs in one to three minutes on two CPU cores, with no network.

# %%
import inspect
import tempfile
import threading

import torch
from IPython.display import Markdown, display

import sslkit
from sslkit import evaluation, losses, plots, recipes, seeds, train, widgets
from sslkit.augment import Policy
from sslkit.exercises import check, find
from sslkit.schedules import warmup_cosine

print("sslkit", sslkit.__version__)

# %% [markdown]
# ## 1. One step by hand (12 minutes)
#
# A training is thousands of equal *steps*. Each step has four parts: **collect** a batch of views, **forward** (compute
# the loss), **backward** (compute the gradient), **step** (change the weights). You do each of them once, by hand.
#
# First the network. `recipes.method` builds what SimCLR needs for these pictures: an *encoder* (picture to representation
# `h`), a *projection head* (a small network from `h` to the projection `z`), the loss, and the views.

# %%
# NBVAL_CHECK_OUTPUT
data = sslkit.datasets.load("shapes")
images = data.train.images  # (12000, 3, 32, 32) uint8
method = recipes.method("simclr", data, seed=0)
method.train()  # its batch norms use the statistics of the batch
encoder, head = (sum(p.numel() for p in part.parameters()) for part in (method.encoder, method.head))
print(f"{len(images):,} pictures, weights of the encoder: {encoder:,}, of the head: {head:,}")

# %% [markdown]
# **Collect.** Take some pictures at random and make two views of each. No label is needed. The number of a picture
# in the data set is enough: two views with the same number belong together. It is called a *pseudo-label*.

# %%
# NBVAL_CHECK_OUTPUT
generator = seeds.generator("my first batch")  # the same key gives the same random numbers
index = torch.randperm(len(images), generator=generator)[:128]
batch = method.collect(images[index], index, None, generator)  # None: no labels
print("views:", [tuple(view.shape) for view in batch.views])

# %%
plots.views_grid(images[index][:4], [view[:4] for view in batch.views])

# %% [markdown]
# **Forward.** All views go through the encoder and the head. The loss asks: for each view, which of the other views was
# made from the same picture?
#
# **Predict before you run.** The network has not learned anything yet. If it sent all pictures to the same point, the
# loss would be ln(2N - 1), where N = 128 is the number of pictures. Will the loss be below this value, near it (less than a tenth of it away),
# or above? The card keeps the answer back until you have recorded yours. Afterwards it asks you for one sentence: why?

# %%
def first_loss():
    share = method(batch)["loss"].item() / method.reference_values(128)["collapsed"]
    return "near" if abs(share - 1) < 0.1 else "below" if share < 1 else "above"


question = "The loss of a network that has not learned anything, beside ln(2N - 1): where is it?"
widgets.Predict(question, first_loss, choices=["below", "near", "above"])

# %%
h = method.encoder(torch.cat(batch.views))  # (256, 128): both views in one call
z1, z2 = method.head(h).chunk(2)  # (128, 128) each
loss = losses.nt_xent(z1, z2, temperature=0.5)

assert torch.isclose(loss, method(batch)["loss"])  # claim: the package's method computes just this
references = method.reference_values(128)
print(f"loss {loss.item():.2f}, all points equal: {references['collapsed']:.2f}")

# %% [markdown]
# The loss is near ln(2N - 1), the value of a network that calls all pictures equal, and mostly a little below it. An untrained
# network has learned nothing, but even with random weights two views of a picture are a little more alike than two pictures.
#
# **Backward.** PyTorch computes for every weight in which direction the loss grows: the *gradient*.

# %%
method.zero_grad(set_to_none=True)  # so that this cell can be run again
loss = method(batch)["loss"]
first = next(method.encoder.parameters())  # the weights of the first layer
assert first.grad is None  # claim: before, there is no gradient
loss.backward()
assert all(p.grad is not None for p in method.parameters())  # claim: now every weight has one
print("first layer:", tuple(first.shape), "its gradient:", tuple(first.grad.shape))

# %% [markdown]
# **Step.** The optimiser moves every weight against its gradient. How far it goes depends on the *learning rate*, `lr`.
# Do it ten times with the same batch. The loss should fall.

# %%
method = recipes.method("simclr", data, seed=0).train()  # a new start
optimiser = torch.optim.AdamW(method.parameters(), lr=2e-3)
falling = []
for _ in range(10):
    loss = method(batch)["loss"]
    optimiser.zero_grad()  # forget the gradient of the step before
    loss.backward()
    optimiser.step()
    falling.append(loss.item())
print("loss:", " ".join(f"{value:.2f}" for value in falling))

# %%
assert falling[-1] < falling[0] - 0.3  # claim: ten steps on one batch lower its loss

# %% [markdown]
# It works on one batch. This is not learning yet: the network could learn these 128 pictures by heart.
#
# ## 2. The loop, yours and the package's (15 minutes)
#
# A training takes another batch and other views in every step. Two more details belong to it. The learning rate first
# rises (*warm-up*), then falls along a cosine: large steps break an untrained network, and small steps at the end
# make it settle. And *weight decay* pulls the weights towards 0, but not those of biases and norms, which have
# one dimension only.

# %%
config = sslkit.TrainConfig(
    steps=6, batch_size=128, warmup=0.5, device="cpu", precision="float32", channels_last=False, marks=0
)


def begin():
    """A method and its optimiser."""
    mine = recipes.method("simclr", data, seed=0).train()
    decay = [{"params": [p for p in mine.parameters() if p.ndim > 1], "weight_decay": config.weight_decay}]
    no_decay = [{"params": [p for p in mine.parameters() if p.ndim <= 1], "weight_decay": 0.0}]
    return mine, torch.optim.AdamW(decay + no_decay)


# %%
def one_step(step):
    # Each epoch is one permutation of the pictures.
    index = train.batch_index(len(images), step, config)
    generator = seeds.generator(config.seed, "views", step, 0)  # 0: we are the only process
    for group in optimiser.param_groups:
        # A warm-up of 3 steps is half of the 6.
        group["lr"] = config.lr * warmup_cosine(step, steps=config.steps, warmup=3)
    loss = mine(mine.collect(images[index], index, None, generator))["loss"]
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


# %%
mine, optimiser = begin()
my_losses = [one_step(step) for step in range(config.steps)]

theirs = recipes.method("simclr", data, seed=0)  # the same start
history = train.fit(theirs, data, config)

pairs = zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True)
# Claim: your loop and `fit` make the same network
assert all(torch.allclose(a, b, atol=1e-4) for a, b in pairs)
for row, value in zip(history.rows, my_losses):
    print(f"step {row['step']}: yours {value:.3f}, package {row['loss']:.3f}")

# %% [markdown]
# Your ten lines and the package do the same. This is the package's loop, in full. It trains every method of this course,
# and it knows nothing about any of them.

# %%
source = inspect.getsource(train.fit)
print(source)

# %%
# NBVAL_CHECK_OUTPUT
body = source.split('"""')[2]  # what follows the docstring
lines = [line for line in body.splitlines() if line.strip()]
assert len(lines) < 60  # claim: the loop that trains everything has less than 60 lines
print("less than 60 lines:", len(lines) < 60)

# %% [markdown]
# Find in it: `collect`, `backward`, `step`. What else is there?
#
# * `keeper` writes checkpoints and reads them (section 4).
# * `compute` chooses a device and a number format.
# * `meter` adds up the loss, and `look` measures the representation now and then (section 5).
# * `method.after_step` is for methods that have a second network. SimCLR has none.
#
# **Exercise 04a.** The learning rate is a function of the step. Write it.

# %%
print(find("04a").prompt)


# %%
def learning_rate(step, *, steps, peak, warmup):
    """The learning rate at `step`, from 0 to steps - 1. In the warm-up it rises in a straight line:
    peak / warmup at step 0, peak at step warmup - 1. Then half a cosine, from the peak at step
    `warmup` down to 0 at step `steps`."""
    return None  # your lines here


# %%
check("04a", learning_rate)

# %% [markdown]
# ## 3. A live training (8 minutes)
#
# Now a real one, but short. `sslkit.pretrain` builds the method, calls `fit`, and returns a *run*: the encoder, its data,
# its history. `watch` is a function of yours. It is called with every new row of the history.
#
# **Predict before you run.** Between which two values will the loss of a batch of 128 pictures be after 60 steps?
# The line "all points equal" is known. So is another one: if all pairs were equal and all other points at right angles.

# %%
my_prediction = None  # for example (3.0, 4.0)


# %%
def report(row):
    if row["step"] % 10 == 0 and "loss" in row:
        print(f"step {row['step']:2}: loss {row['loss']:.2f}")


short = dict(batch_size=128, seed=0, precision="float32", marks=6, probe=300)
# try: steps=200, if you have a minute
live = sslkit.pretrain("simclr", data, steps=60, **short, watch=report)

# %%
references = live.method.reference_values(128)
plots.loss_curve(live.history.rows, references)

# %%
first_loss, last_loss = live.history.rows[1]["loss"], live.history.rows[-1]["loss"]
# Claim: it has left the value of a network that knows nothing
assert last_loss < references["collapsed"] - 0.2
assert last_loss > references["orthogonal"] + 0.5  # claim: it is far from the other end
display(Markdown(
    f"The loss went from {first_loss:.2f} to {last_loss:.2f}. "
    f"All points equal: {references['collapsed']:.2f}. "
    f"Pairs equal and all others at right angles: {references['orthogonal']:.2f}. "
    f"So {last_loss:.2f} is far from both."
))

# %% [markdown]
# A loss without such lines says little. "It is 5.5 and falls slowly" can mean that nothing has been learned: with
# 128 pictures, ln(2N - 1) is about 5.5. Ask for the lines first.
#
# ## 4. Stop and continue (10 minutes)
#
# A training that takes a night must survive a stop. Two things are needed: something that says *stop*, and a file with
# everything that is needed to go on (a *checkpoint*): the weights, the state of the optimiser, the history, the step.
#
# The random numbers are not in the file. They are functions of the seed and the step, as in your loop above. So
# step 11 is the same step 11, whether the ten steps before were made today or yesterday.
#
# **Predict before you run.** We train 20 steps at once, and 10 + 10 steps with a stop between. How large is the largest
# difference between the weights of the two networks?

# %%
my_prediction = None  # a number

# %%
job = dict(steps=20, batch_size=64, seed=1, precision="float32", channels_last=False, marks=0)
straight = sslkit.pretrain("simclr", data, **job)



def stop_in_step_10(row):
    if row["step"] == 9:  # step 9 is done; the loop ends the step that it begins now
        stop.set()


# %%
# NBVAL_CHECK_OUTPUT
folder = tempfile.TemporaryDirectory()
stop = threading.Event()  # anything may set it: a button, a clock, Ctrl-C, or the function above
half = sslkit.pretrain("simclr", data, **job, resume=folder.name, watch=stop_in_step_10, stop=stop)
print(half)
# The same line again, without the stop
whole = sslkit.pretrain("simclr", data, **job, resume=folder.name)
print(whole)

# %%
# NBVAL_CHECK_OUTPUT
a, b = straight.method.state_dict(), whole.method.state_dict()
assert half.history.step == 10 and whole.history.step == 20
assert all(torch.equal(a[name], b[name]) for name in a)  # claim: 10 + 10 = 20 steps, bit for bit
print("largest difference:", max((a[name] - b[name]).abs().max().item() for name in a))
folder.cleanup()

# %% [markdown]
# Not "nearly the same": the same. This holds on one machine, with the same versions and the same number of threads. If
# these have changed, the package warns you. And if you change an option, it does not go on at all: the folder then
# holds another run.
#
# Now with buttons. Press *Start*, run another cell while it trains, press *Stop*, then *Resume*. The training has a thread
# of its own, so the notebook stays usable. *Pairs found* asks the question of the loss in plain words: of how many views is
# the partner the most similar of all? Afterwards `dashboard.run` is a run as any other. (The curves appear when you press *Start*.)

# %%
dashboard = widgets.Dashboard("simclr", data, steps=200, **short | {"marks": 8})  # try: "vicreg"
dashboard

# %% [markdown]
# ## 5. A finished run and its history (12 minutes)
#
# The next line asks for 600 steps. It has been run before, with this same code, and its folder comes with the course, so
# nothing is trained now. To train it yourself, delete the folder `notebooks/runs/simclr_shapes` and run the cell again.

# %%
run = sslkit.pretrain(
    "simclr", data, steps=600, seed=0, precision="float32", probe=500, resume="runs/simclr_shapes"
)
display(Markdown(f"{run}. It was trained in about {run.history.seconds / 60:.0f} minutes."))

# %%
references = run.method.reference_values(run.config.batch_size)
plots.loss_curve(run.history.rows, references)

# %% [markdown]
# Three curves. The loss is the only one that the training sees. The others were measured with a few hundred validation
# pictures, at steps that lie close together at first, because most happens early:
#
# * **online kNN accuracy**: does a validation picture have neighbours of its own class? Labels are used here to *look*,
#   never to train.
# * **RankMe**: how many directions do the representations use? If it falls towards 1, the network collapses.

# %%
looks = [row for row in run.history.rows if "knn" in row]
head = "| step | loss | kNN | RankMe | alignment | uniformity |\n|---|---|---|---|---|---|\n"
line = "| {step} | {shown} | {knn:.2f} | {rankme:.0f} | {alignment:.2f} | {uniformity:.2f} |"
shown = lambda row: f"{row['loss']:.2f}" if "loss" in row else "not yet"
display(Markdown(head + "\n".join(line.format(shown=shown(row), **row) for row in looks)))

# %% [markdown]
# *Alignment* is the mean squared distance between a picture and a view of it; 0 is perfect. *Uniformity* says how evenly
# all pictures are spread; more negative is more even. (Both are measured on representations of length 1.) SimCLR
# wants both: pairs together, everything else apart.

# %%
first_look, last_look = looks[0], looks[-1]
chance = 1 / len(data.names)
# Claim: neighbours have become better, far beyond the start
assert last_look["knn"] > first_look["knn"] + 0.2
assert last_look["rankme"] > 5  # claim: it has not collapsed
# Claim: the pictures are spread more evenly than before
assert last_look["uniformity"] < first_look["uniformity"]

middle = [row for row in looks if row["step"] <= 300][-1]


def share(name):
    """How much of its whole way this number had made in the middle of the training."""
    return (middle[name] - looks[1][name]) / (last_look[name] - looks[1][name])


display(Markdown(
    f"At step {middle['step']} the loss had made {share('loss'):.0%} of its way, "
    f"the accuracy {share('knn'):.0%}."
))

# %% [markdown]
# (We count from step 1, because step 0 is not a fair start: the batch norms had seen no picture yet. After they have seen some, and with
# nothing learned, the RankMe is *higher* than at the end: training makes it smaller here. Notebook 08 shows such a start.) Most of the way of both is made in the first half. Is the second half worth its time? The loss does not say. Only an
# exam does.
#
# **Exercise 04b.** Write RankMe yourself. The *singular values* say how long the cloud of points is in each of its own directions
# (`torch.linalg.svdvals`; notebook 07 says more). Divide them by their sum, and you have shares p. The *entropy* of shares,
# -Σ p · log p, is large if they are equal: if k shares are equal and all others 0, its exponential is exactly k.

# %%
print(find("04b").prompt)


# %%
def rankme(features):
    """RankMe of features (N, D): the exponential of the entropy of
    p = (singular values) / (their sum) + 1e-7."""
    return None  # your lines here


# %%
check("04b", rankme)

# %%
h = run.embed(data.val[:1000])
for name, features in {"trained": h, "a collapsed network": torch.ones(1000, 1) * h[0]}.items():
    result = evaluation.collapse(features)
    print(f"{name}: RankMe {result['rankme']:.1f}, {result['verdict']}")

# %% [markdown]
# ## 6. Loss is not quality (14 minutes)
#
# You have two runs, and one has the lower loss. Is it the better one? Three experiments.
#
# **First: one network, many losses.** The loss depends on the temperature and on the number N of pictures in the batch.
# We compute it for the *same* finished network. Nothing is trained, so its quality does not change at all.

# %%
generator = seeds.generator("one network, many losses")
seen = data.val.images[:256]
batch = run.method.collect(seen, torch.arange(256), None, generator)
with torch.no_grad():
    z1, z2 = (run.method.head(run.encoder(view)) for view in batch.views)

# %%
rows = {}
for n in (16, 64, 256):
    for temperature in (0.1, 0.2, 0.5, 1.0):  # try: 0.05
        loss = losses.nt_xent(z1[:n], z2[:n], temperature=temperature).item()
        collapsed = losses.nt_xent_references(n, temperature=temperature)["collapsed"]
        rows[n, temperature] = loss, collapsed

# %%
head = "| N | temperature | loss of the same network | all points equal |\n|---|---|---|---|\n"
table = "\n".join(f"| {n} | {t} | {value:.2f} | {worst:.2f} |" for (n, t), (value, worst) in rows.items())
display(Markdown(head + table))

# %%
values = [value for value, _ in rows.values()]
# Claim: the loss of one network moves by more than 1, and nothing was learned
assert max(values) - min(values) > 1
# Claim: a collapsed network can have a lower loss than a good one
assert rows[16, 0.2][1] < rows[256, 1.0][0]
display(Markdown(
    f"From {min(values):.2f} to {max(values):.2f}, and always the same network. Look at two of the "
    f"numbers: a *collapsed* network with N = 16 has a loss of {rows[16, 0.2][1]:.2f}. "
    f"This good one with N = 256 and temperature 1 has {rows[256, 1.0][0]:.2f}."
))

# %% [markdown]
# So losses with another N or another temperature must not be compared at all.
#
# **Second: two networks, the same N and temperature.** The live run of section 3 is the first. The second one differs in its
# views only: they are nearly the whole picture, with all its colours. To find the partner of such a view is easy.
#
# **Predict before you run.** Which run has the lower loss? Which one knows the shapes better?

# %%
my_prediction = None

# %%
easy = Policy(scale=(0.9, 1.0), ratio=(1, 1), flip=0.0, jitter=0.0, gray=0.0)  # try: jitter=0.8
lazy = sslkit.pretrain("simclr", data, steps=60, **short, policies=(easy, easy))

# %%
known = data.train[:4000]  # labelled pictures for the probes: enough here, and quick


def shape_probe(run):
    return evaluation.linear_probe(run.embed(known), known.labels, run.embed(data.test), data.test.labels)


duo = {"strong views": live, "easy views": lazy}
results = {name: (r.history.rows[-1]["loss"], shape_probe(r)) for name, r in duo.items()}

# %% [markdown]
# A *linear probe* asks how well the class can be read from the representation (notebook 06 takes it apart). Its interval, in
# brackets, says what other test pictures would give.

# %%
for name, (value, score) in results.items():
    print(f"{name}: loss {value:.2f}, linear probe {score}")

# %%
plots.compare({name: {"linear probe": score} for name, (_, score) in results.items()}, chance=chance)

# %%
(strong_loss, strong), (easy_loss, weak) = results.values()
assert easy_loss < strong_loss - 0.5  # claim: the easy task has a much lower loss
assert weak.value < strong.value  # claim: and the worse representation
display(Markdown(
    f"Easy views: the loss is lower by {strong_loss - easy_loss:.1f}, "
    f"and the probe by {strong.value - weak.value:.2f}."
))

# %% [markdown]
# The easy task can be solved by comparing colours. So the network learned colours, and few shapes. A low loss says "the task
# is solved". It does not say that the task was worth solving.
#
# **Third: the same again with another temperature.** The live run used 0.5. A lower temperature looks almost only at the
# pictures that are nearest, and a small lead of the partner over them is enough. A high one goes on pushing everybody away.

# %%
sharp = sslkit.pretrain("simclr", data, steps=60, **short, temperature=0.1)  # try: 0.05, 1.0

# %%
for name, r in {"0.5": live, "0.1": sharp}.items():
    lines, value = r.method.reference_values(128), r.history.rows[-1]["loss"]
    print(f"temperature {name}: loss {value:.2f} ({lines['orthogonal']:.2f} would be others at right angles)")
    print(f"    linear probe {shape_probe(r)}")

# %% [markdown]
# The second loss is the lower one, but its aim is also much lower. The two losses ask different questions. The probes
# are what you may compare, and their intervals tell you whether the difference means anything. A temperature is chosen by such a measurement, with validation
# pictures and several seeds, and for every data set again. It is never chosen by the loss.
#
# ## 7. Why h and not z? (10 minutes)
#
# The loss looks at `z`, behind the head. After the training we throw the head away and keep `h`. Why keep
# what the loss has never seen?
#
# The idea (SimCLR, section 4.2): views of a picture differ in colour, in place and in size. To call them equal, `z` has to forget
# some of these things; how much, we measure below. If the head does the forgetting, `h` can keep them.
#
# We know every factor of these pictures, so it can be measured: how well can each factor be read from `h`, from `z`, and
# from the untrained network? A number (size, hue, place) is scored by R² (1 is perfect, 0 is as good as always
# answering the mean), a class (shape, texture) by accuracy.
#
# **Predict before you run.** Name a factor that `h` keeps better than `z`. What about the untrained network?

# %%
my_prediction = None

# %%
h, h_test = run.embed(known), run.embed(data.test)
with torch.no_grad():
    z, z_test = run.method.head(h), run.method.head(h_test)
r, r_test = evaluation.features(run.untrained, known), evaluation.features(run.untrained, data.test)

pairs = {"h": (h, h_test), "z": (z, z_test), "untrained": (r, r_test)}
scores = {name: evaluation.factors(a, known.factors, b, data.test.factors) for name, (a, b) in pairs.items()}

# %%
plots.factors(scores)

# %%
gain = {factor: scores["h"][factor].value - scores["z"][factor].value for factor in scores["h"]}
listed = ", ".join(f"{f} {d:+.2f}" for f, d in sorted(gain.items(), key=lambda item: -item[1]))
display(Markdown(f"What `h` keeps more (+) or less (-) than `z`: {listed}."))

# %%
lost = scores["untrained"]["hue"].value - scores["h"]["hue"].value
# Claim: what the views change (colour) can be read less well than before the training
assert lost > 0.2
display(Markdown(
    f"And the training has a price, in `h` too. The hue can be read from the untrained network "
    f"with an R² of {scores['untrained']['hue'].value:.2f}, from `h` with {scores['h']['hue'].value:.2f}."
))

# %% [markdown]
# This is a measurement on *these* pictures with *this* short training. SimCLR's authors found a large
# advantage of `h` on ImageNet. Here you see which factors gain and which do not. A difference that depends on the data
# must be measured on the data.
#
# ## What to remember
#
# * A step is: collect two views of each picture, encode, project, compare, move the weights. Everything else is safety.
# * A loss has a meaning only beside the values that are known: all points equal, pairs apart. Losses with another
#   temperature, batch or view policy are not comparable, and a lower loss is not a better representation.
# * The loss sees `z`, and you keep `h`. What survives in `h` is decided by the views, and it can be measured.
#
# **Further reading.** SimCLR: Chen et al. 2020, arXiv 2002.05709 (section 4.2 for `h` and `z`). Alignment and uniformity: Wang
# and Isola 2020, arXiv 2005.10242. RankMe: Garrido et al. 2023, arXiv 2210.02885. The optimiser: Loshchilov and Hutter 2017,
# arXiv 1711.05101.
#
# **Next: 05.** We look at the embeddings of the finished run on a map, and we find out what such a map cannot tell.
