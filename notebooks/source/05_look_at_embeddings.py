# %% [markdown]
# # 05 · Look at the embeddings
#
# **The question: what can a map tell, and what not?**
#
# An encoder turns a picture into a list of numbers, its *representation* or *embedding*. Nobody can look at a space of
# so many dimensions. So people draw a *map*: each picture becomes a point in the plane, and similar pictures should be
# neighbours. Such maps are in almost every paper and talk. They are beautiful, and they are easily misread.
#
# After this notebook you can
#
# * draw maps with PCA and t-SNE, and say what each of them keeps;
# * write t-SNE in three short functions;
# * measure how far a map can be trusted, and compare it with the map of a cloud that has no clusters;
# * name five things that a map does not tell.
#
# About 70 minutes, 16 of them for two exercises. The code runs in less than a minute on two CPU cores, with no network.

# %%
import math

import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score

import sslkit
from sslkit import augment, evaluation, maps, plots, widgets
from sslkit.exercises import check, find

print("sslkit", sslkit.__version__)

# %% [markdown]
# ## 1. The points (3 minutes)
#
# The encoder is the one of notebook 04, read from its folder. (Delete `runs/simclr_shapes` to train it yourself: it
# takes some minutes.) We look at 600 test pictures, which it has never seen.

# %%
data = sslkit.datasets.load("shapes")
run = sslkit.pretrain(
    "simclr", data, steps=600, seed=0, precision="float32", probe=500, resume="runs/simclr_shapes"
)
run

# %%
# NBVAL_CHECK_OUTPUT
some = data.test[torch.arange(600)]
h = F.normalize(run.embed(some), dim=1)  # (600, 128), each of length 1
shape, texture = some.factors["shape"], some.factors["texture"]
print("points:", tuple(h.shape))
print("shapes:", ", ".join(data.factor_names["shape"]))
print("textures of the ground:", ", ".join(data.factor_names["texture"]))

# %% [markdown]
# Why length 1? The nearest neighbours of notebook 00 compare *directions*. A map compares *distances*. For vectors of
# length 1 the two agree: the nearest one is also the one with the largest cosine.
#
# ## 2. PCA: a shadow (6 minutes)
#
# A lamp throws the shadow of a solid thing on a wall: three dimensions become two. *Principal component analysis* (PCA)
# does this with 128 dimensions, and it turns the thing first, so that the shadow is as wide as possible. The directions
# that it finds are called *principal axes*.
#
# **Predict before you run.** Which share of all the differences between the pictures (their *variance*) is left in the
# shadow? By chance, two directions of 128 would keep 2/128 of it.

# %%
my_prediction = None  # from 0 to 1

# %%
centred = h - h.mean(0)
axes = torch.linalg.svd(centred, full_matrices=False).Vh[:2]  # (2, 128): the two widest directions
shadow = centred @ axes.T  # (600, 2)

flat = maps.pca(h)
# Claim: this is the package's PCA (an axis may point the other way)
assert torch.allclose(shadow.abs(), flat.abs(), atol=1e-3)

# %%
def kept(dim):
    """The share of the variance that the first `dim` principal axes keep."""
    return (maps.pca(h, dim=dim).var(0).sum() / h.var(0).sum()).item()


assert kept(2) > 5 * 2 / 128  # claim: far more than two directions would keep by chance
assert kept(2) < 0.95  # claim: and still a part of what there is stays unseen
display(Markdown(f"2 axes keep {kept(2):.2f} of the variance, 5 axes {kept(5):.2f}, 20 axes "
                 f"{kept(20):.2f}. You wrote: {my_prediction or 'nothing yet'}."))

# %%
plots.map2d(flat, shape, names=data.factor_names["shape"], method="PCA")

# %% [markdown]
# PCA is honest in one way: it only looks from one side. It pulls nothing apart and pushes nothing together, and two
# points that are far from each other on the map *are* far from each other. But two points that are close on the map may
# be far apart in the directions that you do not see.
#
# ## 3. t-SNE: neighbours, and nothing else (12 minutes)
#
# *t-SNE* gives up the shadow. It moves points about in the plane until those that are close in 128 dimensions are close
# on the map. It does not try to keep anything else.

# %%
island = maps.tsne(h)  # (600, 2)
plots.map2d(island, shape, names=data.factor_names["shape"], images=some.images, method="t-SNE")

# %% [markdown]
# Two numbers say how far a map can be trusted. Both compare it with the real space of 128 dimensions:
#
# * **neighbour recall**: of the ten true nearest neighbours of a picture, how many are among its ten nearest on the
#   map?
# * **trustworthiness**: how rarely does the map show as neighbours what is far apart? 1 is never, and about one half is
#   chance.

# %%
def trust(x, y):
    return {"trustworthiness": maps.trustworthiness(x, y), "recall": maps.neighbour_recall(x, y)}


both = {"PCA": flat, "t-SNE": island}
measured = {name: trust(h, y) for name, y in both.items()}
# Claim: t-SNE keeps far more neighbours than PCA
assert measured["t-SNE"]["recall"] > measured["PCA"]["recall"] + 0.15
# Claim: but it keeps not all of them: two dimensions are too few
assert measured["t-SNE"]["recall"] < 0.95
plots.maps_grid(both, shape, names=data.factor_names["shape"], measures=measured)

# %% [markdown]
# ### What do the islands mean?
#
# There are eight shapes, so you may have expected eight islands. It does not look like that. Before you say that the
# encoder is bad, ask what *else* the pictures of an island share. Here is the same map. Only the colours are new: they
# show the pattern of the ground.

# %%
factor = "texture"  # try: "shape"
plots.map2d(island, some.factors[factor], names=data.factor_names[factor], method="t-SNE")

# %% [markdown]
# Better: neighbours often have the same texture. But stripes, checks and waves are on both large islands. So what keeps
# these two apart? There is no label for it. You have to look.
#
# **Predict before you run.** Go back to the map with the pictures. What do the pictures of one large island share, and
# those of the other not?

# %%
my_prediction = None

# %% [markdown]
# Here is a guess to test. The program that draws `shapes` makes some shapes lighter than their ground, and the others
# darker. It does not write this down as a factor, but you can compute it: is the picture lighter than its own frame?

# %%
grey = augment.to_float(some.images).mean(1)  # (600, 32, 32)
frame = torch.ones(32, 32, dtype=torch.bool)
frame[2:-2, 2:-2] = False  # the two outermost rows and columns: nothing but ground
lighter = (grey.mean((1, 2)) > grey[:, frame].mean(1)).long()  # (600,)

sides = ("shape darker than ground", "shape lighter")
plots.map2d(island, lighter, names=sides, method="t-SNE")

# %% [markdown]
# The small island fits, too: it has only dots, and its shapes are lighter than the ground. It is where both factors meet.
#
# Now in numbers. For each picture we take its ten nearest neighbours, and count how many agree with it. We count in the
# representation, on the map, and among the raw pixels.

# %%
def shared(x, labels, k=10):
    """The share of the k nearest neighbours that have the picture's own label."""
    near = maps.neighbours(x, k=k)  # (N, k)
    return (labels[near] == labels[:, None]).double().mean().item()


pixels = augment.to_float(some.images).flatten(1)
rows = {"shape": (shape, 1 / 8), "texture": (texture, 1 / 4), "lighter or darker": (lighter, 1 / 2)}
lines = ["| the same | by chance | raw pixels | 128 dimensions | map |", "|---|---:|---:|---:|---:|"]
for name, (labels, chance) in rows.items():
    numbers = [chance, shared(pixels, labels), shared(h, labels), shared(island, labels)]
    lines.append(f"| {name} | {' | '.join(f'{n:.2f}' for n in numbers)} |")
display(Markdown("\n".join(lines)))

# %%
def above_chance(x, name):
    """0: as by chance, 1: all neighbours are alike."""
    labels, chance = rows[name]
    return (shared(x, labels) - chance) / (1 - chance)


loud = {name: above_chance(h, name) for name in rows}
assert loud["shape"] > 0.1  # claim: the neighbours know the shape ...
assert loud["texture"] > loud["shape"] + 0.05  # ... but the texture better ...
assert loud["lighter or darker"] > loud["texture"] + 0.1  # ... and light and dark best of all
# Claim: light and dark is already loud in the pixels; the texture was made loud by the training
assert above_chance(pixels, "lighter or darker") > 0.8
assert above_chance(pixels, "texture") < 0.25

# %% [markdown]
# The two loudest factors of this representation are not the shape, which interests us. One of them has no label at all.
# Why are they there? Look at the views (notebook 02): they change crop, colours and brightness. But a light shape on a
# dark ground stays a light shape on a dark ground, and stripes stay stripes. So two views of a picture always share
# both, and the encoder may use both to find the partner. This is a *shortcut*.
#
# A map shows the loudest factor first. An accuracy for shapes would not have told you this. That is what maps are good
# for. And it needs a suspicion: the labels that you happen to have show you what you have labels for.
#
# What about colours that mean nothing? The next cell shuffles the textures: each colour is as frequent as before, and
# belongs to no picture in particular.

# %%
order = torch.randperm(len(texture), generator=torch.Generator().manual_seed(0))
two = {"textures": texture, "shuffled textures": texture[order]}
# Claim: shuffled colours agree with the neighbours as often as by chance
assert abs(shared(island, two["shuffled textures"]) - 1 / 4) < 0.08
alike = {name: {"the same among 10 neighbours": shared(island, labels)} for name, labels in two.items()}
figure = plots.maps_grid(dict.fromkeys(two, island), two, names=data.factor_names["texture"], measures=alike)
figure.caption = (
    "The same map twice; only the colours differ. "
    + " ".join(f"{name}: {next(iter(m.values())):.2f} of the ten nearest have the same colour." for name, m in alike.items())
)
figure

# %% [markdown]
# Keep the right map in mind. This is what "the map has nothing to do with the labels" looks like.
#
# ## 4. t-SNE taken apart (10 minutes)
#
# t-SNE has three parts: probabilities in the real space, probabilities on the map, and a search that makes the second
# like the first. 150 pictures are enough to see all three.
#
# **First part.** Each point distributes a probability of 1 over all others, with a bell curve of the distance: near
# points get much, far ones next to nothing. How wide is the bell? So wide that the point has a given number of
# neighbours. This number is called the **perplexity**: the exponential of the entropy. Of probabilities that are equal
# for 10 points and 0 for the others it is 10.

# %%
# NBVAL_CHECK_OUTPUT
def perplexity_of(p):
    return torch.exp(-torch.xlogy(p, p).sum(1, keepdim=True))  # (N, 1)


fair, unfair = torch.zeros(2, 1, 150)
fair[0, :10] = 1 / 10
unfair[0, :10] = torch.tensor([0.91] + [0.01] * 9)
print(f"equal: {perplexity_of(fair).item():.1f}, very unequal: {perplexity_of(unfair).item():.1f}")

# %%
def affinities(x, perplexity):
    d = torch.cdist(x, x).square().fill_diagonal_(math.inf)  # nobody is their own neighbour
    low, high = torch.zeros(len(x), 1), torch.full((len(x), 1), 1e6)
    for _ in range(60):  # halve the interval again and again, for every point at once
        narrow = (low + high) / 2  # (N, 1) how narrow each bell is
        p = torch.softmax(-narrow * d, dim=1)  # (N, N), each row sums to 1
        too_wide = perplexity_of(p) > perplexity
        low, high = torch.where(too_wide, narrow, low), torch.where(too_wide, high, narrow)
    return p

# %%
small = h[:150].double()
p = affinities(small, perplexity=10)
# Claim: every point has 10 neighbours, in a crowd and in the desert
assert torch.allclose(perplexity_of(p), torch.full((150, 1), 10.0, dtype=torch.double), atol=0.01)
P = (p + p.T) / (2 * len(p))  # one probability for each pair; all together sum to 1
reach = torch.cdist(small, small).mul(p).sum(1)  # how far away its neighbours are
print(f"The bell of one point reaches {(reach.max() / reach.min()).item():.1f} times as far as another's.")

# %% [markdown]
# Here is already the reason for much of what follows. A point in a crowd has a narrow bell. A lonely point has a wide
# one. After that, both have the same number of neighbours, and *nothing on the map knows how far away they were*.
#
# **Second part.** On the map, each pair gets a probability too: `1 / (1 + distance²)`, divided by the sum over all
# pairs. (This is Student's *t* distribution, the t in the name.) The *Kullback-Leibler divergence* says how much these
# differ from the first ones: 0 if they are equal.

# %%
def divergence(P, y):
    w = (1 / (1 + torch.cdist(y, y).square())).fill_diagonal_(0)
    Q = w / w.sum()
    return (torch.xlogy(P, P) - P * torch.log(Q + 1e-12)).sum()


theirs = TSNE(perplexity=10, method="exact", init="pca", random_state=0)
their_map = torch.tensor(theirs.fit_transform(small.numpy())).double()
# Claim: this is what scikit-learn minimises
assert math.isclose(divergence(P, their_map), theirs.kl_divergence_, rel_tol=0.02)
print(f"by hand {divergence(P, their_map):.2f}, scikit-learn {theirs.kl_divergence_:.2f}")

# %% [markdown]
# **Third part.** Start anywhere, and go downhill. At first all `P` are made four times too large, so that points find
# their neighbours before the crowd is in the way.

# %%
def descend(P, seed, steps=400):
    start = torch.randn(len(P), 2, generator=torch.Generator().manual_seed(seed))
    y = (start.double() / 100).requires_grad_()
    optimiser = torch.optim.SGD([y], lr=50, momentum=0.8)
    for step in range(steps):
        loss = divergence(P * (4 if step < 100 else 1), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return y.detach()

# %%
mine = {"by hand": descend(P, 0), "by hand, again": descend(P, 1)}  # try: other seeds
mine["the package"] = maps.tsne(small, perplexity=10).double()
numbers = {name: {"divergence": divergence(P, y)} | trust(small, y) for name, y in mine.items()}
ours, packaged = numbers["by hand"], numbers["the package"]
assert ours["divergence"] < packaged["divergence"] + 0.3  # claim: as good, by its own measure
assert abs(ours["recall"] - packaged["recall"]) < 0.15  # claim: and by ours
plots.maps_grid(mine, texture[:150], names=data.factor_names["texture"], measures=numbers)

# %% [markdown]
# That was all of t-SNE. The package calls scikit-learn, which takes a short cut for far points, so that it also works
# for thousands of them. Look at the three maps. They are turned, mirrored, and arranged in different ways, and as good
# as each other.
#
# ## 5. Perplexity, seed, and a number beside each map (14 minutes)
#
# You can draw many maps of the same points. Which one is right? Before you choose the most beautiful one, get a number.
#
# ### Exercise 05a (8 minutes)
#
# You know recall from section 3. Now write it yourself. `torch.cdist(x, x)` gives all distances.

# %%
display(Markdown(find("05a").prompt))


# %%
def neighbour_recall(x, y, *, k=10):
    """Of the k nearest neighbours of each point in x (N, D), the share that is also among its k
    nearest on the map y (N, 2); the mean over all points, from 0 to 1. Euclidean distance; a
    point is not its own neighbour."""
    return None  # your lines here


# %%
check("05a", neighbour_recall)

# %% [markdown]
# From here on we use the package's function. A map that knows nothing recalls about k / (N - 1), which is almost
# nothing:

# %%
nonsense = torch.randn(len(h), 2, generator=torch.Generator().manual_seed(0))
assert maps.neighbour_recall(h, nonsense) < 0.05  # claim: a random map recalls almost nothing
display(Markdown(f"A map of random points: recall {maps.neighbour_recall(h, nonsense):.3f}, "
                 f"trustworthiness {maps.trustworthiness(h, nonsense):.2f}."))

# %% [markdown]
# We also want a number for "islands". The **silhouette** of a grouping compares, for each point, how far it is from its
# own group and from the next one. 1 means that the groups lie far apart, 0 that they lie in each other. Here the groups
# are light and dark.
#
# **Predict before you run.** Six maps of the same 600 points: four perplexities and, for one of them, two other seeds
# with a random start. Which perplexity recalls the most of the ten nearest neighbours? Which one shows the widest gap
# between light and dark?

# %%
my_prediction = None

# %%
six = {f"perplexity {p}": maps.tsne(h, perplexity=p) for p in (2, 5)}  # try: 3, 10
six |= {"perplexity 30": island, "perplexity 150": maps.tsne(h, perplexity=150)}
for seed in (1, 2):
    six[f"30, random start, seed {seed}"] = maps.tsne(h, init="random", seed=seed)
numbers = {name: trust(h, y) | {"silhouette": silhouette_score(y, lighter)} for name, y in six.items()}
plots.maps_grid(six, lighter, names=sides, measures=numbers)

# %%
one, other = (numbers[f"30, random start, seed {seed}"] for seed in (1, 2))
assert abs(one["recall"] - other["recall"]) < 0.05  # claim: seeds differ to the eye, hardly in recall
# Claim: maps that look quite different all have high marks
assert min(n["trustworthiness"] for n in numbers.values()) > 0.9
# Claim: how wide the gap looks is decided by the perplexity
assert numbers["perplexity 150"]["silhouette"] > numbers["perplexity 2"]["silhouette"] + 0.15
best = max(numbers, key=lambda name: numbers[name]["recall"])
display(Markdown(f"In 128 dimensions the silhouette is {silhouette_score(h, lighter):.2f}. Most neighbours "
                 f"recalled: {best}. You wrote: {my_prediction or 'nothing yet'}."))

# %% [markdown]
# The points are the same in all six, and so are the true neighbours. But with a small perplexity the map is one disc of
# crumbs, and with a large one there are two continents and an ocean. How clear the islands look depends on a number
# that you chose. So never show one map alone. What you see in *all* of them is worth a second look.
#
# (Do not choose the perplexity with the lowest divergence. Each perplexity has another `P`, so these numbers cannot be
# compared.)
#
# Now look at single pictures. Each row shows a test picture and its neighbours *on the map*. A tick means that it is
# truly one of the ten nearest.

# %%
true, seen = maps.neighbours(h, k=10), maps.neighbours(island, k=10)  # (600, 10) each
really = (seen[:, :, None] == true[:, None, :]).any(2)
asked = torch.tensor([0, 100, 200, 300, 400])  # try: really.sum(1).topk(5, largest=False).indices
figure = plots.neighbours(some.images[asked], some.images[seen[asked][:, :8]], really[asked][:, :8])
found = really[asked][:, :8].double().mean()
figure.caption = (f"5 pictures (left) and their 8 nearest on the map. {found:.0%} of these are among "
                  "the 10 nearest in the representation (✓).")
figure.alt = "Five rows: a picture, then its eight nearest neighbours on the map."
figure

# %% [markdown]
# If you want to know which pictures are similar, do not read it from a map. Ask the representation, as in notebook 00.
#
# ## 6. What a map makes up (14 minutes)
#
# The best test of an instrument is something that you know already. So here are sets of points whose truth is known,
# because we make them.
#
# **Predict before you run.** Two round clouds in 50 dimensions. One is ten times as wide as the other. How many times
# as wide will it be on the map?

# %%
my_prediction = None

# %%
def width(points):
    return (points - points.mean(0)).square().sum(1).mean().sqrt().item()


noise = torch.randn(2, 150, 50, generator=torch.Generator().manual_seed(0))
narrow, wide = noise[0], 10 * noise[1]  # try: 5, 30
wide[:, 0] += 500  # far away
cloud, which = maps.tsne(torch.cat([narrow, wide])), torch.arange(2).repeat_interleave(150)
truth, shown = width(wide) / width(narrow), width(cloud[which == 1]) / width(cloud[which == 0])
assert shown < truth / 3  # claim: the sizes of islands mean nothing
display(Markdown(f"True ratio {truth:.1f}, on the map {shown:.1f}. You wrote: {my_prediction or '-'}."))

# %% [markdown]
# And distances? Three clouds of the same size. From the second to the third it is five times as far as from the first
# to the second.

# %%
def ratio(points):
    a, b, c = (part.mean(0) for part in points.split(100))
    return ((c - b).norm() / (b - a).norm()).item()


trio = torch.randn(300, 50, generator=torch.Generator().manual_seed(1))
trio[100:200, 0] += 20
trio[200:, 0] += 20 + 100
spread = maps.tsne(trio)
assert ratio(spread) < ratio(trio) / 2  # claim: distances between islands mean nothing
display(Markdown(f"True ratio of the distances {ratio(trio):.1f}, on the map {ratio(spread):.1f}."))

# %%
known = {"one cloud is 10 times as wide": cloud, "the third is 5 times as far": spread}
labels = dict(zip(known, (which, torch.arange(3).repeat_interleave(100))))
figure = plots.maps_grid(known, labels, names=("first", "second", "third"))
figure.caption = (
    "Left: the second cloud is truly 10 times as wide as the first. Right: the third is truly five times as far from the "
    "second as the first is. Neither can be seen."
)
figure

# %% [markdown]
# Now the hardest question: **are there clusters at all?** For an answer we need something without clusters to compare
# with. The **noise twin** is a cloud of random points with the same mean and the same covariance as our
# representations. So it is as wide as they are in every direction, and it has no clusters.
#
# The *covariance* of two columns says how they vary together. Of D columns it is a matrix (D, D), `features.T.cov()`. You
# need one fact about it. If the columns of `noise` are independent and have spread 1, then `noise @ L.T` has the
# covariance `L @ L.T`. And `torch.linalg.cholesky(c)` finds such an `L` for a covariance `c`.
#
# ### Exercise 05b (8 minutes)

# %%
display(Markdown(find("05b").prompt))


# %%
def noise_twin(features, *, generator):
    """Normal noise with the shape, the mean and the covariance of `features` (N, D), drawn with
    `generator`."""
    return None  # your lines here


# %%
check("05b", noise_twin)

# %% [markdown]
# **Predict before you run.** The twin has no clusters. What will its map look like? And what will its trustworthiness be?
# Record this number in the card, with a range that you trust. It measures three twins, so you also see how much chance
# there is in it.

# %%
def trust_in_noise():
    twins = [maps.noise_twin(h[:200], seed) for seed in (0, 1, 2)]
    return [maps.trustworthiness(twin, maps.tsne(twin)) for twin in twins]


widgets.Predict("How trustworthy is a map of pure noise?", trust_in_noise, unit="trustworthiness")

# %%
twin = maps.noise_twin(h)
assert torch.allclose(twin.T.cov(), h.T.cov(), atol=1e-4)  # claim: the same covariance
# Claim: so for PCA the two are the same, axis by axis
assert torch.allclose(maps.pca(twin, dim=5).var(0), maps.pca(h, dim=5).var(0), rtol=0.01)
twin_map = maps.tsne(twin)


# %% [markdown]
# We let *k-means* find eight clusters, without any labels, and take their silhouette: in 128 dimensions and on the map.
# As a control, the same for points that are thrown into a square at random.

# %%
def clusters(x, k=8):
    """The clusters that k-means finds, and their silhouette."""
    found = KMeans(k, n_init=4, random_state=0).fit_predict(x.numpy())
    return torch.tensor(found).long(), float(silhouette_score(x.numpy(), found))


three = {"representation": island, "twin": twin_map, "twin, perplexity 5": maps.tsne(twin, perplexity=5)}
colours = {name: clusters(y)[0] for name, y in three.items()}
truths = dict(zip(three, (h, twin, twin)))
numbers = {name: trust(truths[name], y) for name, y in three.items()}
plots.maps_grid(three, colours, names=[f"cluster {i + 1}" for i in range(8)], measures=numbers)

# %%
silhouettes = {name: (clusters(truths[name])[1], clusters(y)[1]) for name, y in three.items()}
square = clusters(torch.rand(600, 2, generator=torch.Generator().manual_seed(0)))[1]
lines = ["| silhouette of 8 clusters | in 128 dimensions | on the map |", "|---|---:|---:|"]
lines += [f"| {name} | {a:.2f} | {b:.2f} |" for name, (a, b) in silhouettes.items()]
display(Markdown("\n".join([*lines, f"| points in a square | | {square:.2f} |"])))

# %%
in_space, on_map = silhouettes["twin"]
assert on_map > in_space + 0.15  # claim: on the map, the twin seems to have far clearer clusters
assert abs(on_map - square) < 0.12  # claim: as clear as those of any points in the plane
assert numbers["twin"]["trustworthiness"] > 0.85  # claim: and the marks of its map are good
# Claim: the twin's neighbours know nothing of the textures
assert abs(shared(twin_map, texture) - 1 / 4) < 0.08

# %% [markdown]
# A cloud without any clusters, and on its map k-means finds eight of them. With colours they look convincing. The silhouette is much higher than in the real space, but it is
# the one of points in a square: in the plane every cloud can be cut like a cake. Trustworthiness does not warn you. It
# only says that neighbours on the map are neighbours in space, and this is true.
#
# So clusters that were found *on a map* prove nothing. What counts is how much the representation has more than its
# twin, measured in the real space; and above all whether its groups agree with something that the map did not know,
# such as light and dark, or the texture.
#
# Try to fool yourself. The *honesty panel* shows the map of some of our points beside the map of their twin. Change seed and
# perplexity: what stays? Shuffle the labels: would you have seen a difference without the colours? Then choose a point. Lines
# lead to its true neighbours, rings mark its neighbours on the map.

# %%
widgets.HonestyPanel(h, texture, some.images, names=data.factor_names["texture"], most=300)

# %% [markdown]
# ## 7. A pretty map is no proof (6 minutes)
#
# Does a good map mean a good encoder, and a mixed map a bad one? Three representations of the same pictures: our
# encoder, the same network without training, and the raw pixels. Each gets a map with its marks. For the quality of the
# representation we ask the ten nearest neighbours to vote on the shape (each picture is asked, all others may vote).
# And a *linear probe* (notebook 06) learns from 600 training pictures to read the shape.
#
# **Predict before you run.** Which of the three maps has a trustworthiness of more than nine tenths?

# %%
my_prediction = None

# %%
def vote(x, labels, k=10):
    near = maps.neighbours(x, k=k)
    return (labels[near].mode(1).values == labels).double().mean().item()


def represent(images):
    raw = augment.to_float(images).flatten(1)
    return [F.normalize(run.embed(images), dim=1), evaluation.features(run.untrained, images), raw]


kinds = ("our encoder", "random encoder", "raw pixels")
learn, exam = data.train[torch.arange(600)], represent(some.images)
drawn = {"our encoder": island} | {name: maps.tsne(x) for name, x in zip(kinds[1:], exam[1:])}

# %%
table = {}
for name, x, train_x in zip(kinds, exam, represent(learn.images)):
    probe = evaluation.linear_probe(train_x, learn.labels, x, shape).value
    votes = {"vote in space": vote(x, shape), "vote on the map": vote(drawn[name], shape)}
    table[name] = trust(x, drawn[name]) | votes | {"linear probe": probe}

columns = list(table["our encoder"])
lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
for name, row in table.items():
    lines.append(f"| {name} | {' | '.join(f'{value:.2f}' for value in row.values())} |")
display(Markdown("\n".join(lines)))

# %%
marks = {name: trust(x, drawn[name]) for name, x in zip(kinds, exam)}
plots.maps_grid(drawn, shape, names=data.factor_names["shape"], measures=marks)

# %%
ours, random_one, raw = table.values()
# Claim: the maps of useless representations are trustworthy, too
assert min(random_one["trustworthiness"], raw["trustworthiness"]) > 0.85
# Claim: it is not the marks of the map that tell the encoders apart. It is the vote
assert ours["vote in space"] > max(random_one["vote in space"], raw["vote in space"]) + 0.1
# Claim: on our map shapes look mixed, but a straight cut in 128 dimensions reads them far better
assert ours["linear probe"] > ours["vote on the map"] + 0.08

# %% [markdown]
# Keep these two apart:
#
# * *Trustworthiness* and *recall* say whether the map fits the representation. They say nothing about whether the
#   representation is worth anything. A faithful map of nonsense is faithful.
# * *Votes* and *probes* say whether the representation knows the shape. They need no map. And the probe finds shapes
#   that the map shows as mixed, because it may look in the directions in which they differ. So "mixed on the map" does
#   not mean "cannot be separated".
#
# ## 8. A journey through the training (5 minutes)
#
# While the run was trained, it stored the representations of the same 500 *validation* pictures from time to time (the
# test part was not touched). `maps.aligned` draws one map for each moment, and starts every map from the one before.
# Otherwise the maps would turn and flip, and you would see nothing else.
#
# **Predict before you run.** When does the encoder learn shapes, and when textures? One after the other, or both
# together?

# %%
my_prediction = None

# %%
history = run.history
looked = data.val[history.snapshot_index]
moments = F.normalize(torch.stack(history.snapshots).float(), dim=2)  # (S, 500, 128)
chosen = torch.tensor([0, 5, 7, 8, 9, 10])  # of the 11 moments
frames = maps.aligned(moments[chosen], method="tsne")

# %%
def knows(x):
    return {name: shared(x, looked.factors[name]) for name in ("shape", "texture")}


film = {f"step {history.snapshot_steps[i]}": frames[n] for n, i in enumerate(chosen)}
learnt = {title: knows(moments[i]) for title, i in zip(film, chosen)}  # in space, not on the map
figure = plots.maps_grid(film, looked.factors["texture"], names=data.factor_names["texture"], measures=learnt)
figure.caption = (
    "Each map starts from the one before. The numbers: the share of the ten nearest pictures with the same shape, and with "
    "the same texture. " + " ".join(
        f"{step}: {m['shape']:.2f} and {m['texture']:.2f}." for step, m in learnt.items())
)
figure

# %% [markdown]
# Below each map you read which share of a picture's ten nearest neighbours has its shape, and its texture. Try it with
# `looked.factors["shape"]` as colours.

# %%
start, *_, middle, _, end = learnt.values()
rise = {name: (middle[name] - start[name], end[name] - middle[name]) for name in start}
for name, (early, late) in rise.items():
    display(Markdown(f"{name}: {early:+.2f} up to step {history.snapshot_steps[8]}, then {late:+.2f}"))
assert rise["shape"][0] > 0.08  # claim: the first part of the training teaches shapes ...
assert rise["shape"][0] > rise["texture"][0]  # ... more than textures
assert rise["texture"][1] > rise["shape"][1] + 0.08  # claim: the second part is about textures

# %% [markdown]
# So this shortcut was not there from the beginning. The encoder learned about shapes first. Then its neighbours changed:
# what they gained was above all the same ground. If you want shapes and not textures, the views must change the texture
# too. In notebook 02 you saw that a blur hides the faint pattern first. Whether a training with it learns more about
# shapes is an experiment for you.
#
# ## What to remember
#
# * A t-SNE map keeps neighbours. Five things it does not tell: how large a group is, how far two groups are apart, where a
#   group lies, whether the groups exist at all, and whether the representation is worth anything. Compare it with its
#   noise twin, with other seeds and other perplexities.
# * Trustworthiness and recall compare the map with the representation. Only votes and probes compare the representation
#   with what you want to know.
# * A map is good for finding questions, such as "why are these together?". The answer is a number, measured in the real
#   space.
#
# **Further reading.** t-SNE: van der Maaten and Hinton, *Visualizing data using t-SNE*, Journal of Machine Learning
# Research 9, 2008. How it is misread, with moving pictures: Wattenberg, Viégas and Johnson, *How to use t-SNE
# effectively*, Distill, 2016. Contrastive learning that makes a map directly: Böhm, Berens and Kobak 2022, arXiv
# 2210.09879.
#
# **Next: 06 · Linear probing.** How good is the representation, honestly?
