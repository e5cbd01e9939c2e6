# %% [markdown]
# # 06 · Linear probing
#
# **The question: how good is a representation, and compared with what?**
#
# "Our encoder reaches 0.9." Is this good? You cannot know. On how many pictures was it measured, by whom was what
# chosen, and what does a network reach that has learned nothing? In this notebook you measure one encoder so that the
# number means something, and you meet the usual ways in which such a number goes wrong.
#
# Afterwards you can
#
# - freeze an encoder so that it is really frozen;
# - write a kNN vote and a *linear probe*, choose their settings honestly, and put an interval on the result;
# - build a table in which every result stands beside its baselines;
# - say what a probe cannot see, and when fine-tuning helps.
#
# About 70 minutes, and 30 more for two exercises. It runs on two CPU cores and needs no network. The code needs one
# to two minutes.

# %%
import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from IPython.display import Markdown, display

import sslkit
from sslkit import augment, evaluation, plots, race, widgets
from sslkit.exercises import check, find
from sslkit.fine_tune import fine_tune

print("sslkit", sslkit.__version__)

# %% [markdown]
# The encoder of notebook 00, read from its folder. (Delete `runs/simclr_shapes` to train it yourself: it takes some
# minutes.) To be quick, this lesson uses 4,000 of the training pictures. So the numbers are lower than with all of
# them.

# %%
# NBVAL_CHECK_OUTPUT
data = sslkit.datasets.load("shapes")
run = sslkit.pretrain(
    "simclr", data, steps=600, seed=0, precision="float32", probe=500, resume="runs/simclr_shapes"
)
small = data[torch.cat([(data.split == part).nonzero().flatten()[:4000] for part in (0, 1, 2)])]
train, val, test = small.train, small.val, small.test
print(f"{len(train):,} training, {len(val):,} validation, {len(test):,} test pictures")

# %% [markdown]
# ## 1. Frozen means frozen (8 minutes)
#
# To measure an encoder we must not change it. It is **frozen**: no gradient reaches its weights. Many people stop
# here. But an encoder has *batch norms*, and they have two modes. In **train mode** they use the mean and the
# variance of the *batch*. In **eval mode** they use stored ones.
#
# **Predict before you run.** One picture goes through the frozen encoder twice, each time with seven other pictures
# in its batch. Is its representation the same both times? In which mode? The card keeps the answer back until you have
# recorded yours. Afterwards it asks you for one sentence: why?

# %%
pixels = augment.to_float(test.images)


def change(encoder):
    """By which share of its length the representation of the first picture changes with its company."""
    with torch.no_grad():  # no gradient: "frozen"
        first = encoder(torch.cat([pixels[:1], pixels[1:8]]))[0]
        again = encoder(torch.cat([pixels[:1], pixels[101:108]]))[0]  # other company
    return ((first - again).norm() / first.norm()).item()


def where_it_stays():
    modes = copy.deepcopy(run.encoder).eval(), copy.deepcopy(run.encoder).train()
    same = tuple(change(encoder) < 0.001 for encoder in modes)
    names = {(True, True): "in both modes", (True, False): "in eval mode only", (False, True): "in train mode only"}
    return names.get(same, "in no mode")


question = "The same picture in two batches: where is its representation the same?"
widgets.Predict(question, where_it_stays, choices=["in both modes", "in eval mode only", "in train mode only", "in no mode"])

# %%
modes = {"eval mode": copy.deepcopy(run.encoder).eval(), "train mode": copy.deepcopy(run.encoder).train()}
changed = {}
for name, encoder in modes.items():
    changed[name] = change(encoder)
    print(f"{name}: the representation changed by {changed[name]:.1%} of its length")

# %%
assert changed["eval mode"] < 0.001  # claim: in eval mode, the company of a picture does not matter
assert changed["train mode"] > 0.1  # claim: in train mode, it does

frozen, used = (encoder.state_dict() for encoder in modes.values())
moved = [name for name in used if not torch.equal(frozen[name], used[name])]
assert moved and all("running" in name or "num_batches" in name for name in moved)
print(f"Looking has changed {len(moved)} of the {len(used)} tensors of the encoder in train mode,")
print("for example", moved[0])

# %% [markdown]
# In train mode, looking at two batches without any gradient has changed the encoder: it went on counting means. (The
# *weights* stayed as they were.) And a representation depends on the company. Is this bad for an exam? Take it twice,
# with the same test pictures in another order: once as they come, once sorted by shape. The exam is the vote of
# neighbours that you know from notebook 00.

# %%
x = evaluation.split_features(run.encoder, small)  # the package: no gradient, and eval mode


def exam(mode, order):
    with torch.no_grad():
        h = torch.cat([modes[mode](batch) for batch in pixels[order].split(100)])
    return evaluation.knn(x["train"], train.labels, h, test.labels[order])


orders = {"mixed": torch.arange(len(test)), "sorted by shape": test.labels.argsort(stable=True)}
exams = {mode: {name: exam(mode, order) for name, order in orders.items()} for mode in modes}
plots.compare(exams, chance=1 / 8)

# %%
sorted_by_shape = {mode: scores["sorted by shape"].value for mode, scores in exams.items()}
mixed = {mode: scores["mixed"].value for mode, scores in exams.items()}
# Claim: in eval mode the order of the pictures does not matter ...
assert abs(mixed["eval mode"] - sorted_by_shape["eval mode"]) < 0.005
assert mixed["train mode"] > sorted_by_shape["train mode"] + 0.1  # ... in train mode it does

# %% [markdown]
# In a batch of stars only, the batch norm takes away what all stars share. An exam whose result depends on the order
# of the candidates is no exam. So: **no gradient, and `eval()`**. `evaluation.features` does both.
#
# ## 2. The vote of the neighbours (8 minutes)
#
# The simplest exam has nothing to learn. It is called *k nearest neighbours*, **kNN**: look up the `k` training
# pictures with the largest cosine, and let them vote. By hand:

# %%
def vote(train_x, train_y, test_x, k=20):
    similarity = F.normalize(test_x, dim=1) @ F.normalize(train_x, dim=1).T  # cosines
    near = similarity.topk(k, dim=1).indices  # (M, k)
    return train_y[near].mode(dim=1).values  # the most frequent class among them


by_hand = (vote(x["train"], train.labels, x["test"]) == test.labels).float().mean().item()
package = evaluation.knn(x["train"], train.labels, x["test"], test.labels)
assert abs(by_hand - package.value) < 0.05  # claim: they nearly agree
print(f"by hand {by_hand:.3f}, package {package.value:.3f}")

# %% [markdown]
# They agree nearly, not exactly. Two things differ. In the package a near neighbour has a heavier vote, and so a tie is
# decided by nearness; `mode` decides it by the number of the class. Which of the two matters? A high `temperature` makes the
# votes more and more equal.

# %%
for temperature in (0.07, 1000.0, 1e6):
    equal = evaluation.knn(x["train"], train.labels, x["test"], test.labels, temperature=temperature)
    print(f"by hand {by_hand:.3f}, package at temperature {temperature:g}: {equal.value:.3f}")
assert abs(by_hand - equal.value) < 1e-3  # claim: with votes that are equal to the last digit it is your vote

# %% [markdown]
# The weights hardly matter. The ties do: at 1,000 the nearer neighbours still win a tie; at a million all votes are exactly equal, and the
# class with the smaller number wins, as with `mode`.
#
# ### Exercise 06a (15 minutes)
#
# Write the vote with weights.

# %%
def knn_predict(train_x, train_y, test_x, *, k=20, temperature=0.07):
    """The class (M,) of each row of test_x (M, D): its k nearest rows of train_x (N, D) by cosine
    vote for their class in train_y (N,), each with the weight exp(cosine / temperature); the class
    with the largest sum wins."""
    return None  # your lines here

# %%
# NBVAL_CHECK_OUTPUT
print(find("06a").prompt)
check("06a", knn_predict)

# %% [markdown]
# ## 3. Compared with what? (6 minutes)
#
# A number needs company. There are eight shapes, so *chance* is 1/8. But chance is not what a result must beat. A
# **baseline** is what you get without the learning that you want to praise:
#
# - *random encoder*: the same network before its first step;
# - *raw pixels*: the picture as one long list of numbers;
# - *PCA*: these numbers, reduced to the 64 directions in which the pictures differ most.
#
# **Predict before you run.** Put these three and chance into an order, from the worst to the best, for the vote of
# the neighbours.

# %%
my_prediction = None  # for example ["chance", "PCA", "random encoder", "raw pixels"]

# %%
seen = {"this encoder": x, "random encoder": evaluation.split_features(run.untrained, small)}
seen |= evaluation.baselines(small)  # raw pixels and PCA

table = evaluation.Table(f"shapes: {len(train):,} training pictures, {len(test):,} test pictures")
for name, h in seen.items():
    table.add(name, {"kNN": evaluation.knn(h["train"], train.labels, h["test"], test.labels)})
table.add("chance", {"kNN": 1 / 8})
table

# %%
ours, *others = (table["kNN", name] for name in seen)
assert all(other.low > 1 / 8 for other in others)  # claim: every baseline is better than chance ...
# ... and raw pixels are a better one than the random encoder
assert table["kNN", "raw pixels"].value > table["kNN", "random encoder"].value + 0.05
gap = ours.value - max(other.value for other in others)
assert gap > 0.1  # claim: learning without labels has added something
display(Markdown(f"Above chance: {ours.value - 1 / 8:+.2f}. Above the best baseline: **{gap:+.2f}**. "
                 "The second number is what learning added. "
                 f"You wrote: {my_prediction or 'nothing yet'}."))

# %% [markdown]
# ## 4. A linear probe by hand (10 minutes)
#
# In a vote each direction of the representation counts as much as the features vary along it, whatever it says. But perhaps a narrow
# direction speaks about the shape, and a wide one about something else. A
# **linear probe** learns which: it is a classifier that gives each shape a score, a weighted sum of the features, and
# the largest score wins. Only these weights are learned. The encoder stays frozen. So the probe asks: *can the shape
# be read from the representation in the simplest way that there is?*
#
# You can write it in nine lines. The features are first *standardised*: each gets mean 0 and standard deviation 1.
# `decay` pulls the weights towards 0, so that the probe does not learn the training pictures by heart.

# %%
def fit_by_hand(x, y, decay):
    mean, std = x.mean(0), x.std(0)
    linear = torch.nn.Linear(x.shape[1], 8)
    optimiser = torch.optim.Adam(linear.parameters(), lr=0.02)
    for _ in range(300):
        loss = F.cross_entropy(linear((x - mean) / std), y) + decay / 2 * linear.weight.square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return lambda new: linear((new - mean) / std).argmax(1)

# %%
mine = fit_by_hand(x["train"], train.labels, decay=0.01)(x["val"])
theirs = evaluation.fit_linear(x["train"], train.labels, decays=(0.01,)).predict(x["val"])
same = (mine == theirs).float().mean().item()
assert same > 0.9  # claim: it is the package's probe; theirs is fitted to the very end
print(f"They give the same answer to {same:.0%} of the validation pictures.")

# %% [markdown]
# Which decay? One can only try.
#
# **Predict before you run.** The smaller the decay, the freer the probe. What will the accuracy do on the training
# pictures, and what on the validation pictures?

# %%
my_prediction = None

# %%
decays = {10.0**power: power for power in (0, -1, -2, -3, -4, -5)}


def probe(n, decay):
    return evaluation.fit_linear(x["train"][:n], train.labels[:n], decays=(decay,))


def accuracy(probe, features, labels):
    return evaluation.accuracy(probe.predict(features) == labels)


curves = {}
for n in (4000, 400):
    fitted = {power: probe(n, decay) for decay, power in decays.items()}
    own, new = (x["train"][:n], train.labels[:n]), (x["val"], val.labels)
    curves[f"train, {n:,}"] = {power: accuracy(p, *own) for power, p in fitted.items()}
    curves[f"val, {n:,}"] = {power: accuracy(p, *new) for power, p in fitted.items()}

# %%
figure = plots.difficulty(curves, knob="log10 of the decay", chance=1 / 8)
figure.caption = (
    "Accuracy of probes fitted to 4,000 or to 400 pictures, on these pictures (train) and on new ones "
    "(val). From right to left the decay gets smaller and the probe freer."
)
figure

# %%
learned, unseen, learned_400, unseen_400 = (
    [curve[power].value for power in (0, -5)] for curve in curves.values()
)
assert learned[1] > learned[0] + 0.1  # claim: a freer probe knows its own pictures better
assert unseen[1] > unseen[0] + 0.05  # claim: too much decay is bad for new pictures, too
# Claim: with few pictures, the freest probe knows them by heart, and it does not help
assert learned_400[1] - unseen_400[1] > learned[1] - unseen[1] + 0.1
print(f"4,000 pictures, decay 1 and 0.00001: train {learned[0]:.2f} and {learned[1]:.2f}, val {unseen[0]:.2f} and "
      f"{unseen[1]:.2f}. You wrote: {my_prediction or 'nothing yet'}.")

# %% [markdown]
# The training accuracy cannot choose: it prefers the freest probe, even one that knows its pictures by heart. And a
# decay that is right for 4,000 pictures need not be right for 400. So the **validation pictures** choose. Then their
# number has been used up: it is the best of several, and may be too good. For the result we need pictures that have
# chosen nothing: the **test pictures**, once.

# %%
probes = {decay: probe(4000, decay) for decay in decays}
best = max(decays, key=lambda decay: accuracy(probes[decay], x["val"], val.labels).value)
result = accuracy(probes[best], x["test"], test.labels)  # the only look at the test

pair = x["train"], train.labels, x["test"], test.labels
package = evaluation.linear_probe(*pair, val_x=x["val"], val_y=val.labels, decays=list(decays))
assert abs(package.value - result.value) < 0.02  # claim: the package has the same protocol
display(Markdown(f"Chosen decay: {best:g}. Test accuracy: **{result}**."))

# %% [markdown]
# ### Exercise 06b (15 minutes)
#
# Write the protocol itself: every statistic from the training pictures, every choice on the validation pictures, one
# look at the test.

# %%
def honest_accuracy(fit, train, val, test, *, decays):
    """The test accuracy of the classifier whose decay is best on the validation split.

    train, val and test are pairs (features, labels). `fit(x, y, decay)` returns a function that
    predicts classes. Standardise all features with the mean and std of the training features.
    Among equals, the first decay wins.
    """
    return None  # your lines here

# %%
# NBVAL_CHECK_OUTPUT
print(find("06b").prompt)
check("06b", honest_accuracy)

# %% [markdown]
# The package's `evaluation.linear_probe` is this protocol. It fills the next row of the table.
#
# **Predict before you run.** For the vote, raw pixels were a much better baseline than the random encoder. For the
# linear probe, too?

# %%
my_prediction = None

# %%
for name, h in seen.items():
    pair = h["train"], train.labels, h["test"], test.labels
    score = evaluation.linear_probe(*pair, val_x=h["val"], val_y=val.labels)
    table.add(name, {"linear probe": score})
table.add("chance", {"linear probe": 1 / 8})
table

# %%
probe_scores = {name: table["linear probe", name].value for name in seen}
# Claim: for this exam, raw pixels are nearly worthless ...
assert probe_scores["raw pixels"] < table["kNN", "raw pixels"].value - 0.1
# ... and the random encoder is the better baseline
assert probe_scores["random encoder"] > probe_scores["raw pixels"] + 0.03
assert probe_scores["this encoder"] > table["kNN", "raw pixels"].value + 0.2
print(f"raw pixels {probe_scores['raw pixels']:.2f}, random encoder {probe_scores['random encoder']:.2f}. "
      f"You wrote: {my_prediction or 'nothing yet'}.")

# %% [markdown]
# The order of the baselines has turned round. A shape may be anywhere, so no pixel speaks for "star", and a weighted
# sum of pixels cannot find one. A near copy among the training pictures, however, can be found by its pixels. So take
# **the best of all baselines over all exams**, not the one that flatters.
#
# ## 5. What does choosing on the test cost? (6 minutes)
#
# Many papers and tutorials choose the decay, or the best epoch, on the test pictures. How much too good is the
# result? We know how to find out. Take a small *test* of `n` pictures at random, choose on it, and report. Then ask
# all *other* pictures how good the chosen probe really is. Do it 500 times.
#
# We do it with two sets of candidates: the six probes of section 4, and 20 probes that were fitted to *shuffled*
# labels. The latter have learned nothing, and their true accuracy is chance.
#
# **Predict before you run.** The best of 20 probes that know nothing, on 50 test pictures: what will be reported?

# %%
my_prediction = None  # chance is 1/8

# %%
generator = torch.Generator().manual_seed(0)
few_x, few_y = x["train"][:1000], train.labels[:1000]
shuffled = [few_y[torch.randperm(1000, generator=generator)] for _ in range(20)]
nothing = [evaluation.fit_linear(few_x, y, decays=(0.01,)) for y in shuffled]


def right(candidates):
    """Which test pictures each candidate gets right: (n pictures, n candidates) of 0 and 1."""
    return torch.stack([(p.predict(x["test"]) == test.labels).float() for p in candidates], dim=1)


candidates = {"6 decays": right(probes.values()), "20 that know nothing": right(nothing)}

# %%
def too_good(right, n):
    """How far the reported accuracy is above the true one: chosen on the test, and chosen honestly."""
    order = torch.randperm(len(right), generator=generator)
    reported, validation = right[order[:n]].mean(0), right[order[n : 2 * n]].mean(0)
    others = right[order[2 * n :]].mean(0)
    chosen = reported.argmax(), validation.argmax()
    return torch.stack([reported[c] - others[c] for c in chosen])


inflation = {
    (name, n): torch.stack([too_good(values, n) for _ in range(500)]).mean(0)
    for name, values in candidates.items() for n in (50, 200, 800)  # try: 20
}

# %%
head = "| candidates | test pictures | chosen on the test | chosen on validation |\n|---|---:|---:|---:|\n"
line = "| {} | {} | {:+.3f} | {:+.3f} |"
lines = [line.format(name, n, *values.tolist()) for (name, n), values in inflation.items()]
display(Markdown("How much the reported number is too high, on average:\n\n" + head + "\n".join(lines)))

# %%
know_nothing = inflation["20 that know nothing", 50]
assert know_nothing[0] > 0.04  # claim: with a small test and many candidates, peeking invents accuracy
assert abs(know_nothing[1]) < 0.03  # claim: an honest choice does not
assert abs(inflation["6 decays", 800][0]) < 0.02  # claim: six decays and a large test: hardly a difference
reported = 1 / 8 + know_nothing[0].item()
display(Markdown(f"The best of 20 that know nothing reports {reported:.2f} on 50 pictures. "
                 f"You wrote: {my_prediction or 'nothing yet'}."))

# %% [markdown]
# Be fair: with six decays and a large test, the error is too small to matter. It grows with the number of candidates
# (epochs, seeds, temperatures, methods, all that was ever tried) and with a smaller test. Nobody can see from a
# result how many candidates there were. The honest protocol costs some labelled
# pictures, and no accuracy that was ever there.
#
# **Another mistake with the exam**: it is standardised with *its own* mean and spread, instead of those of the training
# pictures. Such a number can be too low or too high, because an answer now depends on who else takes the exam. Here the
# pictures come all at once, a hundred at a time, and a hundred at a time in the order of their classes, as on a disk.

# %%
mean, spread = x["train"].mean(0), x["train"].std(0)
own = lambda h: (h - h.mean(0)) / h.std(0) * spread + mean  # standardised with the exam's own statistics
honest, exams = probes[best].predict(x["test"]) == test.labels, torch.arange(len(test))
by_class = test.labels.argsort(stable=True)
change = {}
for name, order, size in (("all at once", exams, len(test)), ("100, mixed", exams, 100), ("100, by class", by_class, 100)):
    h = torch.cat([own(part) for part in x["test"][order].split(size)])
    lost = (probes[best].predict(h) == test.labels[order]).float() - honest[order].float()
    drawn = [lost[torch.randint(len(lost), (len(lost),), generator=generator)].mean() for _ in range(500)]
    change[name] = (lost.mean().item(), *torch.stack(drawn).quantile(torch.tensor([0.025, 0.975])).tolist())
rows = [f"| {name} | {c:+.3f} | {low:+.3f} to {high:+.3f} |" for name, (c, low, high) in change.items()]
display(Markdown("| the exam | change of accuracy | 95 % interval |\n|---|---:|---:|\n" + "\n".join(rows)))
assert change["100, by class"][2] < -0.3  # claim: pictures of one class lose what makes them a class
assert abs(change["all at once"][0]) < 0.05  # claim: a large, mixed exam hardly notices

# %% [markdown]
# So every number that prepares a feature, also a mean, belongs to the training pictures.
#
# **A third mistake, before the exam**: somebody makes the pairs with the labels. "Two pictures of the same class belong together" sounds
# like a good idea, and the code is one line. There is such a method, with its own name, *SupCon*, and it is supervised: nobody may put it beside
# methods without labels. How much does it win? The race of notebook 11 has trained it as long as SimCLR, with three seeds each.

# %%
rows = [r for r in race.read(Path("../benchmarks/records/race")) if r["data"] == "shapes" and r["seed"] < 3]
marks = {r["method"]: {} for r in rows if r["method"] in ("simclr", "supcon")}
for r in rows:
    if r["method"] in marks:
        marks[r["method"]][r["seed"]] = r["columns"]["this encoder"]["linear probe"]["value"]
both = sorted(set(marks.get("supcon", ())) & set(marks.get("simclr", ())))
if len(both) == 3:
    gaps = torch.tensor([marks["supcon"][seed] - marks["simclr"][seed] for seed in both])
    half = 4.303 * gaps.std() / 3**0.5  # notebook 11 explains this interval over seeds
    print(f"pairs made with labels: the linear probe is {gaps.mean():+.3f} ± {half:.3f} higher, the training has seen every label")
    assert gaps.mean() - half > 0.05  # claim: that is no small leak
else:
    print("The records of the race come with the repository; without them this cell is empty.")

# %% [markdown]
# (The fourth stands in section 1: an encoder that was left in train mode.)
#
# (This notebook looks at the test pictures many times, to show you what happens. In your own work, look once.)
#
# ## 6. Intervals (8 minutes)
#
# What does the bracket after a number mean? The test pictures are a random choice. Other test pictures would give
# another number. We have no others, but we can *draw* such sets from ours: as many pictures, drawn with replacement,
# so that some come twice and some not at all. This is the **bootstrap**. Here it is by hand.

# %%
correct = (probes[best].predict(x["test"]) == test.labels).float()  # 1 where the answer is right
again = []
for _ in range(1000):
    drawn = torch.randint(len(correct), (len(correct),), generator=generator)
    again.append(correct[drawn].mean())
low, high = torch.stack(again).quantile(torch.tensor([0.025, 0.975])).tolist()

score = evaluation.accuracy(correct)
assert abs(low - score.low) < 0.01 and abs(high - score.high) < 0.01  # claim: this is what a Score does
print(f"by hand [{low:.3f}, {high:.3f}], package [{score.low:.3f}, {score.high:.3f}]")

# %% [markdown]
# The middle 95 of 100 drawn results lie between these two numbers. Does it keep its promise? Pretend that our test
# pictures are the whole world, so that the truth is known. Draw small tests of 200 pictures from it, and count how
# often the interval contains the truth.

# %%
truth, hits = correct.mean().item(), []
for _ in range(300):
    drawn = torch.randint(len(correct), (200,), generator=generator)  # try: 50, 2000
    one = evaluation.accuracy(correct[drawn])
    hits.append(one.low <= truth <= one.high)
covered = sum(hits) / len(hits)
assert covered > 0.85  # claim: nearly all intervals contain the truth
display(Markdown(f"{covered:.0%} of 300 intervals contain the true value. "
                 f"With 200 pictures an interval is {one.high - one.low:.2f} wide, "
                 f"with {len(test):,} it is {score.high - score.low:.2f}."))

# %% [markdown]
# **Predict before you run.** Two methods stand in a paper. Of 1,000 test pictures, one gets 904 right and the other
# 913. Is the second method better?

# %%
my_prediction = None

# %%
for n_right in (904, 913):  # try: 850 and 913
    print(n_right, "right:", evaluation.accuracy(torch.arange(1000) < n_right))
print(f"You wrote: {my_prediction or 'nothing yet'}.")

# %% [markdown]
# From these intervals one cannot say. But if both methods took the *same* exam, one can look closer: compare them
# picture by picture. Where both are right or both are wrong, nothing is to be learned; only the others count. Here
# for two probes whose decays differ a little.

# %%
a, b = ((probe(4000, d).predict(x["test"]) == test.labels).float() for d in (0.01, 0.003))
differences = []
for _ in range(1000):
    drawn = torch.randint(len(a), (len(a),), generator=generator)  # the same pictures for both
    differences.append((b - a)[drawn].mean())
low, high = torch.stack(differences).quantile(torch.tensor([0.025, 0.975])).tolist()
duo = evaluation.accuracy(a), evaluation.accuracy(b)
print(f"{duo[0]} and {duo[1]}, difference {(b - a).mean():+.3f} [{low:+.3f}, {high:+.3f}]")

# %%
width = sum(score.high - score.low for score in duo)
assert high - low < 0.7 * width  # claim: the interval of the difference is narrower than the two look
display(Markdown(f"The two intervals are {width:.3f} wide together, "
                 f"that of the difference is {high - low:.3f}."))

# %% [markdown]
# So intervals that overlap do not prove that two methods are equal. Look at the interval of the difference.
#
# What no interval here contains: **another training run**. Pretrain with another seed, and the result moves too. How
# far, no bootstrap over pictures can tell. For a claim about a *method*, train several times. This notebook makes a
# claim about *one encoder*.
#
# ## 7. How many labels? (6 minutes)
#
# The probe had 4,000 labels. Who pays for them? Measure with 1, 5, 10 and 50 labels per class, and with all. With few
# labels it matters *which* pictures have one, so the package draws them three times, and the interval contains this
# as well.
#
# **Predict before you run.** How many labels per class does this encoder need to be better than raw pixels with *all*
# labels?

# %%
my_prediction = None

# %%
budgets, curves = (1, 5, 10, 50), {}
for name in ("this encoder", "random encoder", "PCA", "raw pixels"):
    h = seen[name]
    pair = h["train"], train.labels, h["test"], test.labels
    curves[name] = evaluation.few_label(*pair, budgets=budgets, draws=3)
    curves[name][None] = table["linear probe", name]  # all labels: from the table
plots.few_label(curves, chance=1 / 8)

# %%
for name, curve in (curves | {"chance": dict.fromkeys(budgets, 1 / 8)}).items():
    table.add(name, {f"probe, {n} label{'s' * (n > 1)} per class": curve[n] for n in budgets})
ours = [score.value for score in curves["this encoder"].values()]
assert ours[-1] > ours[0] + 0.2  # claim: more labels help this encoder
# Claim: with ten labels per class it beats raw pixels with all labels
assert curves["this encoder"][10].value > curves["raw pixels"][None].value + 0.1
enough = next(n for n in budgets if curves["this encoder"][n].low > curves["raw pixels"][None].high)
display(Markdown(f"Enough to be better than raw pixels with all labels: {enough} per class. "
                 f"You wrote: {my_prediction or 'nothing yet'}."))

# %% [markdown]
# "Our method with few labels is as good as the baseline with all of them" is a popular sentence. Here it is true, and
# it says little: the linear probe is the weakest exam for raw pixels. Look at the kNN row before you believe it.
#
# ## 8. What the probe cannot see (6 minutes)
#
# All exams so far asked for the shape. A representation could be excellent at it and blind for the rest. These
# pictures were generated, so we can ask for every **factor**: a class (accuracy) or a number (R²: 1 is perfect, 0 is
# what you get without looking).
#
# **Predict before you run.** The encoder was pretrained with views that change the colours. Which factor can be read
# *worse* from it than from the random encoder?

# %%
my_prediction = None

# %%
read = {}
for name in ("this encoder", "random encoder", "PCA"):
    h = seen[name]
    known = {"val_x": h["val"], "val_factors": val.factors}
    read[name] = evaluation.factors(h["train"], train.factors, h["test"], test.factors, **known)
plots.factors(read)

# %%
trained, untrained = read["this encoder"], read["random encoder"]
# Claim: pretraining made shape, size and place easier to read ...
assert all(trained[name].value > untrained[name].value + 0.1 for name in ("shape", "size", "x", "y"))
# ... and the hue harder: it is nearly gone
assert trained["hue"].value < untrained["hue"].value - 0.3
assert read["PCA"]["hue"].value > untrained["hue"].value  # claim: the pixels are better still at it
assert all(scores["angle"].value < 0.4 for scores in read.values())  # claim: no single weighted sum gives the angle
lost = [factor for factor in trained if trained[factor].high < untrained[factor].low]
display(Markdown(f"Worse than the random encoder: **{', '.join(lost)}**. You wrote: {my_prediction or 'nothing yet'}."))

# %% [markdown]
# "A good representation" is an unfinished sentence. It is good *for something*: for what two views of a
# picture still share. If you want to sort pictures by colour, the untrained network is the better one, and the pixels (here as PCA)
# are better still.
#
# And a probe sees only what is *linear*. The angle looks lost for everybody. But a square looks the same after a quarter turn,
# a moon only after a whole one. So "angle" means something else for each shape, and one weighted sum cannot serve them all.
# Ask for one shape at a time.

# %%
alone, parts = {}, {"train": train, "val": val, "test": test}
for number, name in enumerate(small.names):
    rows = {split: part.labels == number for split, part in parts.items()}
    angle = {split: {"angle": part.factors["angle"][rows[split]]} for split, part in parts.items()}
    if not angle["test"]["angle"].isnan().any():  # a circle and a ring have no angle
        known = {"val_x": x["val"][rows["val"]], "val_factors": angle["val"]}
        pair = x["train"][rows["train"]], angle["train"], x["test"][rows["test"]], angle["test"]
        alone[name] = evaluation.factors(*pair, **known)["angle"]
assert alone["moon"].value > trained["angle"].value + 0.3  # claim: asked for one shape, the angle is there
print("R² of the angle, one shape at a time:", "; ".join(f"{name} {score}" for name, score in alone.items()))

# %% [markdown]
# For some shapes it is there. "The probe cannot read it" does not mean that it is lost.
#
# ## 9. Fine-tuning (8 minutes)
#
# Until now the labels could not change the encoder. In **fine-tuning** they can: the encoder and a linear layer are
# trained together. This is the second step of the usual workflow, *pretrain, then fine-tune*. It is not a measurement
# of the representation any more, but of a starting point.
#
# We have 400 labelled pictures, and three tasks: a class (shape), a number (size), and a number that the pretraining
# threw away (hue). Three ways: a probe on the frozen encoder; fine-tuning; and the same training from random weights.
# The last two get the same steps and the same settings.
#
# **Predict before you run.** For which task is pretraining useless?

# %%
my_prediction = None  # "shape", "size" or "hue"

# %%
n = 400  # try: 100, 1000
in_train = (data.split == 0).nonzero().flatten()[:n]
labelled = data[torch.cat([in_train, (data.split != 0).nonzero().flatten()])]
settings = dict(steps=40, batch_size=128, lr=0.01, encoder_lr=0.3, seed=0)
settings |= dict(precision="float32", channels_last=False)  # the same numbers each time you run it

tasks = {"labels": "shape (accuracy)", "size": "size (R²)", "hue": "hue (R²)"}
ways = {"frozen, with a probe": {}, "fine-tuned": {}, "from random weights": {}}
for target, row in tasks.items():
    _, ways["fine-tuned"][row] = fine_tune(run.encoder, labelled, target=target, **settings)
    _, ways["from random weights"][row] = fine_tune(run.untrained, labelled, target=target, **settings)

# %%
asked = ("shape", "size", "hue")
known, wanted = ({name: part.factors[name] for name in asked} for part in (labelled.train, test))
scores = evaluation.factors(x["train"][:n], known, x["test"], wanted)
ways["frozen, with a probe"] = dict(zip(tasks.values(), scores.values()))
figure = plots.compare(ways)
figure.caption = (
    "Three ways to use the labels, for three tasks, with 95 % intervals. Compare the second mark of each task with the third: "
    "the same training, with and without pretraining."
)
figure

# %%
frozen, tuned, scratch = ({row: score.value for row, score in way.items()} for way in ways.values())
for row in ("shape (accuracy)", "size (R²)"):
    assert tuned[row] > scratch[row] + 0.1  # claim: here, pretraining is the better start
assert tuned["hue (R²)"] > frozen["hue (R²)"] + 0.3  # claim: fine-tuning brings the hue back ...
assert tuned["hue (R²)"] < scratch["hue (R²)"] + 0.1  # ... but random weights do that just as well
for row in tasks.values():
    print(f"{row:17}", ", ".join(f"{name} {scores[row].value:+.2f}" for name, scores in ways.items()))
print(f"You wrote: {my_prediction or 'nothing yet'}.")

# %% [markdown]
# Three things to read from it. Pretraining is a good start for what it has learned, for a class and for a number
# alike. It is no help for what it threw away. And fine-tuning is not always better than a probe: with few labels and
# few steps, the frozen encoder can be ahead. Look which one it is here.
#
# Ask us the question of section 5: who chose the settings of fine-tuning? We did, after a look at some test results.
# That is not the protocol. So do not believe the third digit of these numbers. The differences that we claim are much
# larger. To do it properly, choose the number of steps and the two learning rates on validation pictures. A probe has
# only its decay to choose.
#
# Above all of this there is a *ceiling*: the same network, trained with all labels from the start. It takes half a
# minute, so we do not do it here.

# %%
# run.ceiling  # take away the first "#", and compare it with the table below

# %% [markdown]
# ## 10. How to read a results table (5 minutes)
#
# Here is ours. Read it with the checklist below, as if somebody else had made it.

# %%
table.notes.append("In brackets: 95 % intervals over test pictures, for few labels also over the draws.")
table.notes.append("One training run. Another seed may differ by more.")
table

# %%
exams = [(row, name) for row in ("kNN", "linear probe") for name in list(seen)[1:]]
row, name = max(exams, key=lambda one: table[one].value)
gain = table["linear probe", "this encoder"].value - table[row, name].value
assert gain > 0.1  # claim: the encoder is better than every baseline in its best exam
display(Markdown(f"The linear probe, minus the best baseline in its best exam ({name}, {row}): "
                 f"**{gain:+.2f}**."))

# %% [markdown]
# | ask | why | section |
# |---|---|---|
# | Was the encoder frozen, in eval mode? | else the result depends on the batch | 1 |
# | What do a random encoder and raw pixels get, in the *same* exam? | chance is not the baseline | 3, 4 |
# | Who chose the decay, the epoch, `k`: which pictures, how many candidates? | choosing on the test invents accuracy | 5 |
# | How many test pictures? Is there an interval, of the difference too? | a third digit is often noise | 6 |
# | How many seeds of the *pretraining*? | an interval over pictures does not contain them | 6 |
# | How many labels, and which ones? | the order of methods can change with the budget | 7 |
# | Which task? Do the views fit it? | good at shapes may be blind for colours | 8 |
# | Frozen or fine-tuned? The same network, pictures and steps for all? | else two things were changed at once | 9 |
#
# ## What to remember
#
# - A number without its baselines, its interval and its protocol says nothing. Choose on validation pictures, look at
#   the test once.
# - A random encoder and raw pixels are better than chance, and which of them is stronger depends on the exam.
# - A representation is good for something. What the views threw away, a probe cannot find, and fine-tuning must learn
#   again.
#
# ## Further reading
#
# - Alain and Bengio, the idea of linear probes, 2016, [arXiv 1610.01644](https://arxiv.org/abs/1610.01644).
# - Wu and others, the weighted vote of neighbours, 2018, [arXiv 1805.01978](https://arxiv.org/abs/1805.01978).
# - Musgrave and others, a field looks at its own tables, 2020, [arXiv 2003.08505](https://arxiv.org/abs/2003.08505).
# - Chen and others, fine-tuning with few labels, 2020, [arXiv 2006.10029](https://arxiv.org/abs/2006.10029).
# - Ericsson and others, many encoders on many tasks, and what they forget, 2020, [arXiv
#   2011.13377](https://arxiv.org/abs/2011.13377).
#
# **Next: 07, collapse and regularisation: what stops everything becoming the same point?**
