# %% [markdown]
# # 03 · Contrastive loss
#
# **The question: why does pulling together alone fail?**
#
# Two views of one picture should get the same *embedding*, the list of numbers that a network makes of a picture. So why not
# simply train the network to make them equal? You will try it, and it will fail in an instructive way. Then you
# build the loss that works, from a loop over pairs up to the package's function, and learn to read its value.
#
# After this notebook you can
#
# * show a *collapse* in numbers, and say why the loss alone cannot show it;
# * write NT-Xent, the loss of SimCLR, and say what each part of it does;
# * tell from a loss, a batch size and a temperature whether anything was learned.
#
# About 95 minutes, 25 of them for two exercises. The code runs in less than a minute on two CPU cores, with no network.

# %%
import math
import time

import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from torch import nn

import sslkit
from sslkit import evaluation, losses, methods, nets, plots, recipes, widgets
from sslkit.exercises import check

torch.set_printoptions(precision=2, sci_mode=False, linewidth=100)
print("sslkit", sslkit.__version__)

# %% [markdown]
# ## 1. Pull together, and nothing else (12 minutes)
#
# The article on which this kit is founded compares two embeddings by their squared distance, `d`. Its loss for one pair is
#
# $$c = \tfrac12 \big(d - \log(e^{-d/\sigma} + \varepsilon)\big), \qquad d = \lVert z_1 - z_2 \rVert^2 .$$
#
# σ is a scale: how far is far? ε is a tiny number, so that the logarithm is never taken of 0; without it the second term would be d/σ, the
# distance once more. Both terms grow with `d`. So the loss is small when the two views of a picture are close, and that is all it asks.
# With a loop over pairs:

# %%
def loop_distance(z1, z2, sigma=1.0, epsilon=1e-3):
    total = 0
    for a, b in zip(z1, z2):  # a and b are embeddings of two views of one picture
        d = ((a - b) ** 2).sum()
        total = total + (d - torch.log(torch.exp(-d / sigma) + epsilon)) / 2
    return total / len(z1)


z1, z2 = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))  # 6 pairs in 4 dimensions
theirs = losses.distance_contrast(z1, z2)
assert torch.allclose(loop_distance(z1, z2), theirs)  # claim: your loop is the package's loss
print(f"6 random pairs: {loop_distance(z1, z2):.2f}, 6 equal pairs: {loop_distance(z1, z1):.4f}")

# %% [markdown]
# The minimum is reached when all pairs are equal: $-\tfrac12\ln(1+\varepsilon)$, a little below 0.
#
# Now train with it. `methods.Joint` sends all views through the network and gives their embeddings to a loss of your choice. We
# take a tiny network without a head, so that what we look at is what the loss sees. Three numbers are watched:
#
# * **std**: how much the embeddings of different pictures differ (after each is set to length 1). 0: not at all.
# * **RankMe**: in how many directions the embeddings lie, seen from 0. 1: all lie on one line through 0. A part that all of them share
#   counts as one direction, and if it is long it hides the others.
# * **kNN**: how often the nearest neighbours of a picture show the same shape. Chance is 1/8.
#
# **Predict before you run.** What is the *easiest* network that gives two views of a picture the same embedding?
# What will the loss do, and what will std and RankMe do?

# %%
my_prediction = None

# %%
data = sslkit.datasets.load("shapes", n=2000)


def train(loss, seed=0, norm="group"):  # try: norm="batch", which slows the collapse
    torch.manual_seed(seed)
    encoder = nets.small_resnet(widths=(16, 32), norm=norm)
    views = [recipes.views_for(data)] * 2
    method = methods.Joint(encoder, nn.Identity(), loss, policies=views)
    settings = {"steps": 60, "batch_size": 128, "probe": 250, "precision": "float32"}
    return sslkit.pretrain(method, data, seed=seed, **settings)


pulled = train(losses.distance_contrast)

# %%
plots.loss_curve(pulled.history.rows, {"minimum": -0.5 * math.log(1 + 1e-3)})

# %%
def table(run):
    rows = [row for row in run.history.rows if "rankme" in row]
    lines = [f"| {r['step']} | {r['std']:.3f} | {r['rankme']:.1f} | {r['knn']:.2f} |" for r in rows]
    display(Markdown("\n".join(["| step | std | RankMe | kNN |", "|---:|---:|---:|---:|", *lines])))
    return rows[0], rows[-1]


first, last = table(pulled)
assert last["std"] < first["std"] / 4  # claim: the pictures become almost equal
assert last["rankme"] < first["rankme"] / 2  # claim: in almost one direction


def all_test_pictures(encoder):
    x = evaluation.split_features(encoder, data)
    return evaluation.knn(x["train"], data.train.labels, x["test"], data.test.labels)


before, after = all_test_pictures(pulled.untrained), all_test_pictures(pulled.encoder)
assert after.low < before.high  # claim: and nothing was learned about shapes that we could tell from luck
print(f"kNN with all test pictures: before {before}, after {after}")

# %% [markdown]
# The loss looks like a success: it fell almost to its minimum. But the network has learned to say the same about every picture.
# This is a **collapse**. It is the cheapest way to make two views equal: ignore the picture.
#
# Read it exactly. The loss does not *demand* that different pictures become equal. It only does not mind. Nothing in it compares two
# different pictures, so nothing keeps them apart, and the training slides to the solution that is easiest to reach. The last
# line says the rest: the intervals before and after overlap. (In the table the kNN is measured with 250 pictures, so it jumps by some
# hundredths from row to row. And the std is small already at step 0, because an untrained network gives similar numbers to all pictures. But
# the loss has made it many times smaller.)
#
# ## 2. Negatives (6 minutes)
#
# So a loss must also look at *different* pictures. Take a batch of N pictures and make two views of each: 2N embeddings.
# Choose one of them and call it the **anchor**.
#
# * The other view of the same picture is its **positive**, or partner.
# * All others are its **negatives**.
#
# Similarity is measured by the **cosine** of the angle between two embeddings: 1 if they point in the same direction,
# 0 if they are orthogonal, -1 if they are opposite.
#
# **Predict before you run.** N = 2 pictures. How many negatives has an anchor? And for N = 128?

# %%
my_prediction = None

# %%
# NBVAL_CHECK_OUTPUT
for N in (2, 128):
    others = [k for k in range(2 * N) if k != 0]  # the anchor is number 0 ...
    negatives = [k for k in others if k != N]  # ... and its partner is number N
    print(f"N = {N}: {2 * N} embeddings, {len(others)} others, {len(negatives)} negatives")

# %% [markdown]
# An anchor has 2N - 1 others and 2N - 2 negatives. The negatives are in *both* views. Many texts get this number wrong.
#
# Here are the cosines of six pairs that agree a little. The task of the network is to make the diagonal red and everything
# else pale.

# %%
z1 = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
z2 = z1 + 0.7 * torch.randn(6, 4, generator=torch.Generator().manual_seed(2))
plots.similarity_matrix(z1, z2)

# %% [markdown]
# ## 3. NT-Xent, from a loop to a classifier (12 minutes)
#
# NT-Xent is short for *normalised temperature-scaled cross-entropy*. It asks each anchor: which of the 2N - 1 others is
# your partner? The answer is a probability, and the loss is minus its logarithm:
#
# $$\text{loss}_i = -\log \frac{e^{s(i,\,\text{partner})/\tau}}{\sum_{k \ne i} e^{s(i,k)/\tau}}$$
#
# `s` is the cosine, and the **temperature** τ says how much small differences count (section 5). The result is the mean over all
# 2N anchors. In a loop, exactly as the formula says:

# %%
def loop_nt_xent(z1, z2, temperature=0.5):
    z = [v / v.norm() for v in torch.cat([z1, z2])]  # 2N embeddings of length 1
    terms = []
    for i in range(len(z)):
        e = [torch.exp(z[i] @ z[k] / temperature) for k in range(len(z))]
        partner = (i + len(z1)) % len(z)
        others = sum(e[k] for k in range(len(z)) if k != i)
        terms.append(-torch.log(e[partner] / others))
    return torch.stack(terms).mean()


# %%
for N, D, temperature in [(2, 2, 1.0), (6, 4, 0.5), (9, 5, 0.1)]:
    a, b = torch.randn(2, N, D, generator=torch.Generator().manual_seed(N))
    mine, theirs = loop_nt_xent(a, b, temperature), losses.nt_xent(a, b, temperature=temperature)
    assert torch.allclose(mine, theirs, rtol=1e-4)  # claim: the loop is NT-Xent
    print(f"N = {N}, temperature {temperature}: loop {mine:.4f}, package {theirs:.4f}")

# %% [markdown]
# Now look at one anchor again. There are 2N - 1 answers, each with a score (cosine / τ), and one of them is right. This is a
# *classifier*, and its loss has a name: **cross-entropy**. PyTorch has it as one function. It takes the scores (called
# *logits*) and the place of the right answer.

# %%
z = F.normalize(torch.cat([z1, z2]), dim=1)  # (12, 4), length 1
anchor, partner = 0, 6  # the first view of picture 0, and its second view
others = [k for k in range(12) if k != anchor]
logits = (z[others] @ z[anchor]) / 0.5  # (11,) one score for each other embedding
target = torch.tensor(others.index(partner))  # the place of the partner among the others

one_term = F.cross_entropy(logits[None], target[None])
by_formula = -torch.log(torch.exp(logits[target]) / torch.exp(logits).sum())
assert torch.allclose(one_term, by_formula)  # claim: one anchor's loss is a cross-entropy
print(f"right answer: place {target} of {len(logits)}, loss of this anchor {one_term:.4f}")

# %% [markdown]
# So the loss of one anchor is that of ordinary classification. Only its classes are unusual: they are the other views of this
# batch, new in each step. The number of its picture, which costs nothing, says which one is right. Such numbers are called
# *pseudo-labels*. The right answer is a **place** in a list (here 5, because the
# anchor itself is left out). It is not a yes or no, and the place may be anywhere, if scores and place agree.
#
# ### Exercise 03a (15 minutes)
#
# You have one anchor. Do all 2N at once: write `my_nt_xent(z1, z2, temperature)`, NT-Xent for two views of a batch. It should
# also work at the temperature `0.005`, where the loop above does not (section 6 says why).

# %%
def my_nt_xent(z1, z2, *, temperature=0.5):
    """NT-Xent of two views z1, z2 (N, D): one number. Each of 2N embeddings must find its partner
    among all others."""
    return None  # your lines here


# %%
check("03a", my_nt_xent)

# %% [markdown]
# From here on we use the package's function. It does the same without a loop, and that matters:

# %%
a, b = torch.randn(2, 64, 32, generator=torch.Generator().manual_seed(0))
start = time.perf_counter()
loop_nt_xent(a, b)
middle = time.perf_counter()
losses.nt_xent(a, b)
end = time.perf_counter()
slow, fast = 1000 * (middle - start), 1000 * (end - middle)
display(Markdown(f"64 pairs: {slow:.0f} ms in a loop, {fast:.1f} ms in one matrix product."))

# %% [markdown]
# Train the same tiny network again, with the same views, the same seed and the same number of steps. Only the loss is new.
#
# **Predict before you run.** What will std and RankMe do now? And the kNN?

# %%
my_prediction = None

# %%
contrasted = train(losses.nt_xent)
first, last = table(contrasted)
assert last["std"] > 2 * first["std"]  # claim: now the pictures move apart
assert last["knn"] > first["knn"]  # claim: and more neighbours show the same shape

# %%
def report(run):
    return evaluation.collapse(evaluation.features(run.encoder, data.test))


reports = {"pulled together": report(pulled), "NT-Xent": report(contrasted)}
assert reports["pulled together"]["std"] < reports["NT-Xent"]["std"] / 10  # claim: one collapsed
plots.collapse(reports)

# %% [markdown]
# Look at both numbers. Std grows: the pictures move apart. RankMe ends near where it began: so short a training makes no new
# directions, but it also loses hardly any. With the distance loss nearly all of them were lost.
#
# The negatives keep the pictures apart. The representation is no longer a point, and more neighbours show the same shape than
# before the training. With 60 steps of a tiny network it is still a poor one; notebook 04 trains longer.
#
# ## 4. The loss thermometer (12 minutes)
#
# Is a loss of 6.2 good? The number alone does not say. A thermometer needs marks, and NT-Xent has three. They
# follow from one question: what is the loss if all partners are equal and all negatives have the same cosine s?
#
# * **collapsed**, s = 1: all embeddings equal. All 2N - 1 answers are equally likely, so the loss is **ln(2N - 1)**.
# * **orthogonal**, s = 0: different pictures at right angles. A practical goal.
# * **bound**, s = -1/(N - 1): the pictures at the corners of a *simplex* (the triangle, the tetrahedron, and so on). No
#   embeddings can have a lower loss.
#
# Do not believe it. Build all three and measure.

# %%
N, temperature = 16, 0.5  # try: other numbers
marks = losses.nt_xent_references(N, temperature=temperature)
built = {
    "collapsed": torch.ones(N, N),  # N equal embeddings
    "orthogonal": torch.eye(N),  # N embeddings at right angles
    "bound": torch.eye(N) - 1 / N,  # the same, seen from their centre: a simplex
}
for name, z in built.items():
    value = losses.nt_xent(z, z, temperature=temperature).item()
    assert math.isclose(value, marks[name], rel_tol=1e-4)  # claim: formula and loss agree
    print(f"{name}: measured {value:.3f}, formula {marks[name]:.3f}")
assert math.isclose(marks["collapsed"], math.log(2 * N - 1))

# %%
def marks_table(sizes=(32, 128, 256, 512), temperatures=(0.1, 0.5, 1.0)):
    lines = ["| N | τ | collapsed | orthogonal | bound |", "|---:|---:|---:|---:|---:|"]
    for N in sizes:
        for temperature in temperatures:
            m = losses.nt_xent_references(N, temperature=temperature)
            numbers = " | ".join(f"{m[name]:.3f}" for name in ("collapsed", "orthogonal", "bound"))
            lines.append(f"| {N} | {temperature} | {numbers} |")
    return Markdown("\n".join(lines))


marks_table()

# %% [markdown]
# Three things to read from this table. The collapsed value depends on N only. The other two depend on N *and* on the
# temperature, and strongly. And the scale is short: from the collapsed value to the orthogonal one it is never more than 1/τ, which
# is 2 at τ = 0.5, for every N. A curve that looks flat may be doing well.
#
# **Predict before you run.** Three people tell you their loss. Who has learned something?
# A: "6.2, with 256 pictures in a batch and temperature 0.5". B: "4.3, with 256 and 0.5". C: "4.3, with 256 and 0.1".

# %%
my_prediction = None  # for example: "A no, B ..., C ..."

# %%
def thermometer(loss, N, temperature, width=40):
    marks = losses.nt_xent_references(N, temperature=temperature)
    high, low = marks["collapsed"], marks["bound"]
    filled = round(width * min(max((high - loss) / (high - low), 0), 1))
    return f"{high:.2f} |{'#' * filled:<{width}}| {low:.2f}"


people = {"A": (6.2, 256, 0.5), "B": (4.3, 256, 0.5), "C": (4.3, 256, 0.1)}
print("          collapsed" + " " * 33 + "bound")
for name, (loss, N, temperature) in people.items():
    print(f"{name}: loss {loss}  {thermometer(loss, N, temperature)}")

# %% [markdown]
# **A loss of 6.2 may mean that nothing was learned**: with N = 256 it is the value of a network that gives every
# picture the same embedding. B and C have the same loss. B is almost as good as it gets. C has learned something, too, because 4.3 is
# well below its collapsed value, but it is still far from its bound. Without N and τ, the number means nothing.
#
# "Nothing was learned" is not the highest value. Embeddings that are random, and do not even agree for partners, are a little
# above it:

# %%
a, b = torch.randn(2, 256, 128, generator=torch.Generator().manual_seed(0))
random_loss, collapsed = losses.nt_xent(a, b).item(), math.log(2 * 256 - 1)
assert collapsed < random_loss < collapsed + 0.1  # claim: random is a little above collapsed
display(Markdown(f"N = 256, random embeddings: {random_loss:.3f}, collapsed: {collapsed:.3f}"))

# %% [markdown]
# Now a real loss: your run with NT-Xent, with its marks.

# %%
marks = losses.nt_xent_references(128, temperature=0.5)
steps, curve = contrasted.history.column("loss")
assert abs(curve[0] - marks["collapsed"]) < 0.15  # claim: it starts at "nothing learned"
assert marks["bound"] < curve[-1] < marks["collapsed"] - 0.2  # claim: and gets clearly below
plots.loss_curve(contrasted.history.rows, marks)

# %%
for step in (0, len(curve) // 4, len(curve) - 1):
    print(f"step {steps[step]:2}: loss {curve[step]:.2f}  {thermometer(curve[step], 128, 0.5)}")

# %% [markdown]
# The run has gone a part of the way. The missing part need not be bad: views may differ so much that partners *cannot* be
# equal, and pictures may be so alike that they *should not* be orthogonal. The thermometer says whether training works.
# It does not say whether the representation is good. For that you need notebook 06.
#
# ## 5. Temperature: who is pushed? (8 minutes)
#
# All negatives push the anchor away, but not equally hard. Measure it with PyTorch's *autograd*, which computes derivatives: how
# much does the loss change if one cosine changes a little? That is the push of this negative. We divide by the sum of all
# pushes, so that the shares add up to 1.

# %%
positive = 0.8
negatives = torch.tensor([0.9, 0.6, 0.3, 0.0, -0.3])  # cosines; the first is a *hard* negative


def push_shares(negatives, temperature):
    s = torch.cat([torch.tensor([positive]), negatives]).requires_grad_()
    F.cross_entropy(s[None] / temperature, torch.tensor([0])).backward()
    return s.grad[1:] / s.grad[1:].sum()


# %% [markdown]
# **Predict before you run.** The hardest negative has the cosine 0.9. What is its share of the push at τ = 5? And at
# τ = 0.05? Record the second number in the card, with a range that you trust. Then it lets you run, and asks why.

# %%
question = "Which share of the push goes to the hardest of five negatives, at temperature 0.05?"
widgets.Predict(question, lambda: push_shares(negatives, 0.05)[0].item(), unit="share of the push")

# %%
TEMPERATURES = (5, 0.5, 0.2, 0.05)  # try: 0.01, 100
shares = {temperature: push_shares(negatives, temperature) for temperature in TEMPERATURES}
for temperature, share in shares.items():
    parts = "  ".join(f"{cosine:+.1f}: {s:4.0%}" for cosine, s in zip(negatives, share))
    print(f"temperature {temperature:<5}", parts)

hardest = [share[0].item() for share in shares.values()]
assert hardest == sorted(hardest)  # claim: the colder, the more the hardest negative counts

# %% [markdown]
# At a high temperature all negatives are pushed equally. At a low one nearly all of the push goes to the hardest negative.
# Is that good? A hard negative may be hard for a good reason: it may show the *same* thing. Look at your trained network. For
# each test picture, who is its hardest negative? (The labels are only used to look, not to train.)

# %%
h = F.normalize(evaluation.features(contrasted.encoder, data.test), dim=1)  # (250, 32)
cosines = (h @ h.T).fill_diagonal_(-2)  # nobody is their own negative
hardest = cosines.argmax(dim=1)
labels, n = data.test.labels, len(data.test)
same = (labels[hardest] == labels).float().mean().item()
random_one = ((labels[:, None] == labels).sum().item() - n) / (n * n - n)
assert same > random_one  # claim: hard negatives show the same thing more often than others
display(Markdown(f"Same shape: {same:.0%} of the hardest negatives, {random_one:.0%} of all negatives."))

# %% [markdown]
# Such *false negatives* are the price of working without labels. A very low temperature pushes them hardest of all, a very high one
# does not separate anything well. Values between 1/20 and 1/2 are usual; the authors of SimCLR take 0.1 for photographs of
# ImageNet and 0.5 for the small pictures of CIFAR. The loss curves of two temperatures cannot be compared (section 4).
#
# ### Exercise 03b (10 minutes)
#
# You have measured the pushes with autograd. Find the formula. Write `forces(similarity, positive, temperature)`: the
# derivative of one anchor's loss with respect to each similarity. What is its sum?

# %%
def forces(similarity, positive, *, temperature=0.5):
    """The derivative (K,) of one anchor's NT-Xent loss with respect to each entry of `similarity`
    (K,), its cosines with all others; `positive` is the index of its partner.
    Above 0: pushed away. Below 0: pulled closer."""
    return None  # your lines here


# %%
check("03b", forces)

# %% [markdown]
# ## 6. When exp overflows (6 minutes)
#
# The loop computes `exp(cosine / τ)`. A computer's numbers have a largest value, and exp reaches it soon.
#
# **Predict before you run.** The cosine is 1. At which temperature does `exp(1 / τ)` leave the range of float16 (half
# precision)? Of float32?

# %%
my_prediction = None

# %%
# NBVAL_CHECK_OUTPUT
for dtype in (torch.float16, torch.bfloat16, torch.float32):
    limit = 1 / math.log(torch.finfo(dtype).max)
    largest = f"largest number {torch.finfo(dtype).max:.1e}"
    print(f"{str(dtype):15} {largest}, exp(1 / τ) overflows below τ = {limit:.4f}")

# %%
a, b = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
b = a + 0.1 * b  # partners that agree well, as late in training
cold = {"float32 at 0.005": (torch.float32, 0.005), "float16 at 0.05": (torch.float16, 0.05)}
for name, (dtype, temperature) in cold.items():
    naive = loop_nt_xent(a.to(dtype), b.to(dtype), temperature)
    stable = losses.nt_xent(a.to(dtype), b.to(dtype), temperature=temperature)
    assert not naive.isfinite() and stable.isfinite()  # claim: only the loop breaks
    print(f"{name}: loop {naive.item()}, package finite: {bool(stable.isfinite())}")

# %% [markdown]
# Infinity divided by infinity is `nan`, "not a number". One `nan` in a loss destroys all weights of the network in one step.
#
# The cure is one line of algebra. Subtract the largest score `m` from all scores before exp: then the largest number is
# exp(0) = 1, and nothing overflows. The ratio stays the same, because numerator and denominator both lose the
# factor exp(m).

# %%
scores = torch.tensor([1.0, 0.999, 0.2]) / 0.005  # the scores of a positive and two negatives
m = scores.max()
naive = -torch.log(torch.exp(scores[0]) / torch.exp(scores).sum())
stable = -(scores[0] - m - torch.log(torch.exp(scores - m).sum()))
assert naive.isnan() and torch.isclose(stable, F.cross_entropy(scores[None], torch.tensor([0])))
print(f"naive {naive}, with the largest score subtracted {stable:.4f}")

# %% [markdown]
# `F.cross_entropy` does this inside. So never call exp yourself. (The package also turns float16 into float32 before it
# computes the loss.)
#
# ## 7. The gradient as arrows on a circle (12 minutes)
#
# The *gradient* says in which direction each embedding should move to make the loss smaller. In two dimensions, embeddings of
# length 1 lie on a circle, and you can read the arrows. Four pictures, two views each; angles in degrees.

# %%
view1 = [10.0, 35, 75, 200]  # the angle of the first view of each picture    # try: other angles
view2 = [60.0, 80, 85, 250]  # and of the second view
N, temperature = 4, 0.5

angles = torch.tensor(view1 + view2, dtype=torch.float64)
start = torch.stack([angles.deg2rad().cos(), angles.deg2rad().sin()], dim=1)  # (8, 2)
z = start.clone().requires_grad_()
losses.nt_xent(z[:N], z[N:], temperature=temperature).backward()
by_autograd = z.grad  # (8, 2)

# %% [markdown]
# The same gradient with a pencil. Let P be the matrix of probabilities: row i holds what anchor i answers, with 0 on
# the diagonal. In the loss of anchor i, the derivative for its score with k is P_ik, and 1 less if k is the partner (exercise
# 03b is about this). The score is z_i · z_k / τ, so its derivative for z_i is z_k / τ. Now count where z_i appears: in its own loss, where it is the
# anchor (row i of P), and in the loss of every other anchor (column i, so row i of Pᵀ). The partner comes twice, too. The loss is a
# mean over 2N anchors. So, for embeddings of length 1,
#
# $$\frac{\partial L}{\partial z} = \frac{(P + P^\top)\,z - 2\,z_{\text{partner}}}{2N\tau}$$
#
# The first part pushes away from everybody, each with their probability. The second part pulls towards the partner. Of this arrow only the
# part *along* the circle counts: the length of an embedding is normalised away.

# %%
partner = torch.cat([start[N:], start[:N]])  # (8, 2)
logits = (start @ start.T / temperature).fill_diagonal_(-torch.inf)
P = logits.exp() / logits.exp().sum(1, keepdim=True)  # fine at this temperature
G = ((P + P.T) @ start - 2 * partner) / (2 * N * temperature)
along = G - (G * start).sum(1, keepdim=True) * start  # remove the part that only changes the length

assert torch.allclose(along, by_autograd, rtol=0, atol=1e-12)  # claim: pencil and autograd agree
print(f"largest difference: {(along - by_autograd).abs().max():.0e}")

# %% [markdown]
# **Predict before you run.** The views of picture 0 are 50 degrees apart, and so are those of picture 3. But picture 0 has neighbours
# and picture 3 has none. Which views are moved most? Will any view move *away* from its partner?

# %%
my_prediction = None

# %%
tangent = torch.stack([-start[:, 1], start[:, 0]], dim=1)  # the direction anticlockwise
arrows = -(by_autograd * tangent).sum(1)  # minus the gradient: where the embedding wants to go
for i in range(2 * N):
    way = "anticlockwise ↺" if arrows[i] > 0 else "clockwise ↻"
    bar = "#" * round(200 * abs(arrows[i].item()))
    print(f"picture {i % N}, view {i // N + 1}, at {angles[i]:3.0f}°: {way:15} {bar}")

# %% [markdown]
# Picture 0's second view, at 60°, is moved most: its partner pulls it clockwise, and the three neighbours above it (75°, 80°,
# 85°) push it the same way; only the one at 35° pushes back. Picture 3 has no neighbours, so it feels hardly more than its
# own partner. And one view moves *away* from its partner: picture 2's second view, at 85°. Its partner, at 75°, pulls it
# back, but the crowd below 85° pushes harder.
#
# Now follow the arrows: move each point a little, again and again. Do it with the article's distance loss, too.
#
# **Predict before you run.** Where do the eight points end with NT-Xent? Where with the distance loss?

# %%
my_prediction = None

# %%
def follow(loss, steps=300, rate=0.1):
    z = start.clone()
    for _ in range(steps):
        z.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(z[:N], z[N:]), z)
        z = F.normalize(z.detach() - rate * gradient, dim=1)
    return z


ends = {"distance loss": follow(losses.distance_contrast), "NT-Xent": follow(losses.nt_xent)}
ends = {"start": start, **ends}
names = [f"picture {i}" for i in range(N)]
figure = plots.maps_grid(ends, torch.arange(N).repeat(2), names=names)
turn = torch.linspace(0, 2 * math.pi, 100)
for ax in figure.axes[:3]:
    ax.plot(turn.cos(), turn.sin(), color="0.7", linewidth=0.8, zorder=0)
figure.caption = (
    "Four pictures, two views each, on a circle. Both losses bring partners together: after training, two views of a "
    "picture lie on the same place, so you see one dot. Look at the distances between different pictures."
)
figure.alt = "Three circles with eight points: at the start, after the distance loss, after NT-Xent."
figure

# %%
def angle_to_next(z):
    """The smallest angle between neighbouring pictures on the circle, in degrees."""
    middle = z[:N] + z[N:]  # (N, 2) between the two views
    order = torch.atan2(middle[:, 1], middle[:, 0]).rad2deg().sort().values
    return torch.cat([order[1:] - order[:-1], order[:1] + 360 - order[-1:]]).min().item()


apart = {name: angle_to_next(z) for name, z in ends.items()}
assert apart["NT-Xent"] > apart["distance loss"] + 30  # claim: only negatives spread the pictures
assert apart["NT-Xent"] > 80  # claim: nearly as far apart as four points on a circle can be
smallest = ", ".join(f"{name} {value:.0f}°" for name, value in apart.items())
display(Markdown(f"Smallest angle between two pictures: {smallest}"))

# %% [markdown]
# NT-Xent spreads the pictures evenly over the circle. With the distance loss each pair meets in its middle and stays there:
# no picture feels any other. These points are free, so they do not collapse. A network's embeddings are not free: one set of
# weights moves all of them, and the shortest way to make all pairs equal is to make everything equal. That is what you saw in section 1.
#
# Now move them yourself. Choose a picture, and put one of its views next to the view of another picture: whose arrow becomes
# long? Lower the temperature and look at the bars: who is still pushed? Then take steps, and compare the loss with
# its marks. On a circle, more than three pictures cannot reach the bound: there is no room.

# %%
widgets.LossLab(n=5)

# %% [markdown]
# ## What to remember
#
# * A loss that only pulls together is content with a constant network. Watch std and RankMe, not only the loss.
# * NT-Xent is a cross-entropy: which of the 2N - 1 others is my partner? The temperature decides how much the hardest negatives
#   count. Leave exp to `cross_entropy`.
# * A loss means something only beside its marks: ln(2N - 1), orthogonal, bound. At ln(2N - 1), nothing was learned.
#
# **Further reading.** SimCLR, arXiv 2002.05709 (equation 1 is NT-Xent). Its ancestor InfoNCE, arXiv 1807.03748. "Understanding the
# behaviour of contrastive loss", on temperature and hard negatives, arXiv 2012.09740. "Alignment and uniformity on the
# hypersphere", arXiv 2005.10242. RankMe, arXiv 2210.02885.
#
# **Next: 04 · Train SimCLR.** You have views and a loss. What happens while it trains?
