# %% [markdown]
# # 07 · Collapse and regularisation
#
# **The question: what stops everything becoming the same point?**
#
# Pulling the views of a picture together is easy: give every picture the same embedding. Notebook 03 met this
# *collapse*, and negatives prevented it. There are other ways. In this notebook you learn to see two kinds of
# collapse, and you build two losses that prevent both without a single negative: *Barlow Twins* and *VICReg*.
# You switch their parts off, one at a time, and watch what breaks. Then you test the oldest idea of all, a
# penalty on the weights.
#
# After this notebook you can
#
# * read a spectrum, and say why one number is not enough to detect a collapse;
# * split NT-Xent into a part that aligns and a part that spreads;
# * write Barlow Twins, and say what each of VICReg's three terms is for;
# * say what a weight penalty does, and what it does not do.
#
# About 105 minutes, 25 of them for two exercises. The code runs in about a minute on two CPU cores, with no
# network.

# %%
import copy
from functools import partial

import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from torch import nn

import sslkit
from sslkit import augment, evaluation, losses, methods, nets, plots, recipes, widgets
from sslkit.exercises import check

torch.set_printoptions(precision=2, sci_mode=False, linewidth=100)
print("sslkit", sslkit.__version__)


def show_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    display(Markdown("\n".join(lines)))


# %% [markdown]
# ## 1. Two ways to collapse (12 minutes)
#
# Start with clouds that we make ourselves, so that we know the truth. Each has 500 embeddings in 32 dimensions.
#
# * **healthy**: spread evenly in all 32 dimensions.
# * **one point**: all embeddings equal, up to a little noise. This is a *complete* collapse.
# * **a sheet**: the embeddings differ, but only in 3 directions. The other 29 say nothing new. This is a
#   *dimensional* collapse.

# %%
g = torch.Generator().manual_seed(0)
noise = 0.01 * torch.randn(500, 32, generator=g)
clouds = {
    "healthy": torch.randn(500, 32, generator=g),
    "one point": torch.randn(32, generator=g) + noise,
    "a sheet": torch.randn(500, 3, generator=g) @ torch.randn(3, 32, generator=g) + noise,
}

# %% [markdown]
# The **spectrum** of a cloud is the list of its *singular values*: how far its points lie from 0 along each of its
# own axes, the longest first. **RankMe** turns the list into one number. It makes shares of it, which sum to 1,
# and asks how many equal shares would be as uncertain: the exponential of the entropy.

# %%
def rankme(x):
    s = torch.linalg.svdvals(x.double())  # the spectrum
    p = s / s.sum() + 1e-7  # shares
    return torch.exp(-(p * p.log()).sum()).item()


for x in clouds.values():  # claim: this is the package's RankMe
    assert abs(rankme(x) - evaluation.collapse(x)["rankme"]) < 0.01

# %% [markdown]
# The second number is the one you know from notebook 03, **std**: set each embedding to length 1, take the
# standard deviation of each dimension, and average. A cloud that is spread evenly has $1/\sqrt{32}$.
#
# **Predict before you run.** RankMe of the three clouds? And which of the two numbers does not see the sheet?

# %%
my_prediction = None

# %%
reports = {name: evaluation.collapse(x) for name, x in clouds.items()}
plots.spectrum({name: report["spectrum"] for name, report in reports.items()})

# %%
std = {name: report["std"] * 32**0.5 for name, report in reports.items()}  # 1 means evenly spread
rank = {name: report["rankme"] for name, report in reports.items()}
assert std["one point"] < 0.1 and rank["one point"] < 2  # claim: both numbers see the point
assert std["a sheet"] > 0.7  # claim: std does not see the sheet ...
assert rank["a sheet"] < 5  # ... and RankMe does
show_table(["cloud", "std (1 = even)", "RankMe"], [[n, f"{std[n]:.2f}", f"{rank[n]:.1f}"] for n in clouds])

# %% [markdown]
# Look at the picture: a healthy spectrum is nearly flat, a sheet has a *cliff* after three directions, and the
# point has a cliff after one. Std alone would have called the sheet healthy.
#
# Is RankMe alone enough, then? Here is a test. From the collapsed cloud we subtract its mean, as people often
# do before they look at a spectrum.
#
# **Predict before you run.** What is the RankMe of the collapsed cloud after that? 32 would be the most. Record a number,
# with a range that you trust, and let the card run.

# %%
point = clouds["one point"]
centred = point - point.mean(0)

question = "The RankMe of a collapsed cloud, after its mean was subtracted?"
widgets.Predict(question, lambda: rankme(centred), unit="directions")

# %%
assert rankme(point) < 2 and rankme(centred) > 25  # claim: centring hides a complete collapse
display(Markdown(f"RankMe {rankme(point):.1f} before, {rankme(centred):.1f} after. Its widest dimension has "
                 f"the standard deviation {centred.std(0).max():.3f}."))

# %% [markdown]
# What is left is the noise, and noise reaches in all directions. RankMe counts directions and does not know how
# large the cloud is. So keep this rule: **a size and a count**. One number for how much pictures differ (std),
# one for in how many ways (RankMe). And look at the spectrum before you believe either.
#
# It also goes the other way round. Add one constant to all embeddings: std and RankMe become small, although the pictures differ as
# before. Only an exam, or the difference from the mean, tells whether what is left is noise.
#
# ## 2. Alignment and uniformity (12 minutes)
#
# Now for the losses. What a good embedding should do can be said in two numbers, for embeddings of length 1:
#
# * **alignment**: the mean squared distance between the two views of a picture. 0 is perfect.
# * **uniformity**: how evenly different pictures cover the sphere. It is the logarithm of the mean of
#   $e^{-2\,\text{distance}^2}$ over all pairs. 0 is a collapse, and the lower, the more even.

# %%
def alignment(z1, z2):
    return (F.normalize(z1, dim=1) - F.normalize(z2, dim=1)).square().sum(1).mean()


def uniformity(z, t=2):
    return torch.pdist(F.normalize(z, dim=1)).square().mul(-t).exp().mean().log()


g = torch.Generator().manual_seed(0)
z1 = torch.randn(40, 3, generator=g) + torch.tensor([2.0, 0, 0])  # 40 pictures, on one side of a ball
z2 = z1 + torch.randn(40, 3, generator=g)
theirs = losses.align_uniform(z1, z2)
assert torch.isclose(alignment(z1, z2), theirs["alignment"], rtol=1e-4)  # claim: the same alignment
assert torch.isclose((uniformity(z1) + uniformity(z2)) / 2, theirs["uniformity"], rtol=1e-4)  # and this

# %% [markdown]
# NT-Xent has neither of these words in it. But for vectors of length 1, `cosine = 1 - distance² / 2`. Put this
# into its formula and it falls apart into two terms:
#
# $$\text{NT-Xent} = \underbrace{\frac{1}{2\tau}\,\text{alignment}}_{\text{pulls}} \; + \;
# \underbrace{\text{mean}_i \log \sum_{k \ne i} e^{-d_{ik}^2 / 2\tau}}_{\text{pushes}}$$
#
# The second term is a relative of uniformity, with t = 1/(2τ).

# %%
tau, both = 0.5, F.normalize(torch.cat([z1, z2]), dim=1)  # (80, 3)
d2 = torch.cdist(both, both).square().fill_diagonal_(torch.inf)
pulls = alignment(z1, z2) / (2 * tau)
pushes = torch.logsumexp(-d2 / (2 * tau), dim=1).mean()
assert torch.isclose(pulls + pushes, losses.nt_xent(z1, z2, temperature=tau), rtol=1e-4)  # claim: exact
print(f"pulls {pulls:.3f} + pushes {pushes:.3f} = NT-Xent {losses.nt_xent(z1, z2, temperature=tau):.3f}")

# %% [markdown]
# Let 40 free pairs of points on a ball follow three losses: alignment alone, uniformity alone, and NT-Xent.
#
# **Predict before you run.** For each of the three: which of the two numbers becomes good, and what happens to
# the other?

# %%
my_prediction = None

# %%
def follow(loss, steps=300):
    z = torch.stack([z1, z2])
    for _ in range(steps):
        z.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(*z), z)
        z = F.normalize(z.detach() - gradient, dim=2)  # one step downhill, back to the ball
    return losses.align_uniform(*z)


goals = {name: lambda a, b, name=name: losses.align_uniform(a, b)[name] for name in ("alignment", "uniformity")}
ends = {"start": losses.align_uniform(z1, z2)}
ends |= {name + " only": follow(goal) for name, goal in goals.items()} | {"NT-Xent": follow(losses.nt_xent)}
show_table(["", "alignment", "uniformity"],
           [[n, f"{e['alignment']:.3f}", f"{e['uniformity']:.2f}"] for n, e in ends.items()])

# %%
start, pulled, spread, contrast = ends.values()
assert contrast["alignment"] < start["alignment"] / 4  # claim: NT-Xent aligns ...
assert contrast["uniformity"] < start["uniformity"]  # ... and spreads
assert pulled["uniformity"] > contrast["uniformity"] + 0.4  # claim: alignment alone does not spread
assert spread["alignment"] > 3 * contrast["alignment"]  # claim: uniformity alone does not align

# %% [markdown]
# NT-Xent does both. Each of the two alone does only its own half.
#
# ## 3. A real network, with and without a guard (8 minutes)
#
# Free points cannot collapse: nothing ties them together. A network ties everything together. We take a small
# encoder with a linear *head* (the layer behind the representation, notebook 04), and train it for 80 steps.
# Everything except the loss is the same in the runs of sections 3 to 6.
#
# **Predict before you run.** The first run only pulls. The second takes NT-Xent. Which of them ends with the
# better alignment?

# %%
my_prediction = None

# %%
data = sslkit.datasets.load("shapes", n=2000)
views = [recipes.views_for(data)] * 2


def train(loss, seed=0, omega=None, norm="batch"):
    torch.manual_seed(seed)
    encoder = nets.small_resnet(widths=(8, 16, 32), norm=norm)
    method = methods.Joint(encoder, nn.Linear(32, 32), loss, policies=views)
    if omega is not None:  # section 6
        method.loss = partial(penalised, method, omega)
    settings = {"steps": 80, "batch_size": 128, "probe": 250, "marks": 3, "precision": "float32"}
    return sslkit.pretrain(method, data, seed=seed, weight_decay=0.0, **settings)


# %%
def embed(run, images):
    """The embeddings z that the loss compares: encoder and head."""
    with torch.no_grad():
        return run.method.head.eval()(evaluation.features(run.encoder, images))


def two_views(run, represent=None):
    """The embeddings of two views of each test picture."""
    g = torch.Generator().manual_seed(0)
    batch = run.method.collect(data.test.images, torch.arange(len(data.test)), None, g)
    represent = represent or partial(embed, run)
    return [represent(view) for view in batch.views]


# %%
runs = {"only pull": train(losses.distance_contrast), "NT-Xent": train(losses.nt_xent)}
ends = {name: losses.align_uniform(*two_views(run)) for name, run in runs.items()}
assert ends["only pull"]["alignment"] < ends["NT-Xent"]["alignment"]  # claim: pulling alone aligns best
assert ends["only pull"]["uniformity"] > ends["NT-Xent"]["uniformity"] + 0.4  # claim: by not spreading
show_table(["", "alignment", "uniformity"],
           [[n, f"{e['alignment']:.3f}", f"{e['uniformity']:.2f}"] for n, e in ends.items()])

# %% [markdown]
# The collapsed network has the *better* alignment. Of course: if all pictures are in one place, the two views
# of a picture are, too. **Alignment without uniformity means nothing.** That is why a paper that shows only how
# close partners are shows you nothing.
#
# ## 4. Barlow Twins: compare dimensions, not pictures (12 minutes)
#
# NT-Xent compares pictures with pictures: a matrix of (2N, 2N). *Barlow Twins* turns this around and compares
# **dimensions with dimensions**. Take dimension i of the first views and dimension j of the second views: two
# columns of N numbers. How are they correlated? All pairs (i, j) give a matrix C of (D, D).
#
# * The **diagonal** should be 1: a dimension says the same about both views.
# * **Everything else** should be 0: no dimension repeats what another one says.
#
# With loops, exactly as the words say:

# %%
def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a * b).mean() / torch.sqrt(((a * a).mean() + 1e-5) * ((b * b).mean() + 1e-5))


def loop_barlow(z1, z2, lambda_=0.0051):
    D, total = z1.shape[1], 0
    for i in range(D):
        for j in range(D):
            c = correlation(z1[:, i], z2[:, j])
            total = total + ((1 - c) ** 2 if i == j else lambda_ * c**2)
    return total


theirs = losses.barlow_twins(z1, z2)
assert torch.isclose(loop_barlow(z1, z2), theirs["loss"], rtol=1e-4)  # claim: this is Barlow Twins
print(f"loop {loop_barlow(z1, z2):.4f}, package {theirs['loss']:.4f}")

# %% [markdown]
# There are D entries on the diagonal and D (D - 1) others, so these get a small weight, λ. The `1e-5` is for a
# dimension that is constant: it keeps the division finite.
#
# **Predict before you run.** All embeddings are equal. How large is the loss in 32 dimensions?

# %%
my_prediction = None

# %%
constant = torch.ones(64, 32)
collapsed = losses.barlow_twins(constant, constant)["loss"].item()
assert abs(collapsed - losses.barlow_twins_references(32)["collapsed"]) < 1e-4  # claim: D
print(f"collapsed: {collapsed:.1f}")

# %% [markdown]
# A constant correlates with nothing, not even with itself. So the diagonal is 0, and the loss is D. A collapse
# is expensive. That is the guard, and no picture was compared with another.
#
# ### Exercise 07a (15 minutes)
#
# Write Barlow Twins without loops. Two matrix operations are enough: standardise the columns, and multiply.

# %%
def my_barlow_twins(z1, z2, *, lambda_=0.0051):
    """Barlow Twins of two views z1, z2 (N, D): one number. Standardise each dimension of each view
    over the batch, (z - mean) / √(variance + 1e-5), all with N, not N - 1. C is their (D, D)
    correlations; add (1 - C_ii)² over the diagonal and lambda_ C_ij² over all other entries."""
    return None  # your lines here


# %%
check("07a", my_barlow_twins)

# %% [markdown]
# From here on we use the package's function. How large should λ be? The authors take `0.0051`, with 8192
# dimensions. There each entry of the diagonal stands against 8191 others. Here it stands against 31, so the
# same λ makes the others count next to nothing. We train twice: with their λ, and with one that is forty times
# as large.
#
# **Predict before you run.** In which way will the two matrices C differ? And what does C look like before any
# training?

# %%
my_prediction = None

# %%
LAMBDAS = (0.0051, 0.2)  # try: 1.0
for lambda_ in LAMBDAS:
    runs[f"λ = {lambda_}"] = train(partial(losses.barlow_twins, lambda_=lambda_))


def cross_correlation(z1, z2):
    a, b = ((z - z.mean(0)) / z.std(0, correction=0).clamp_min(1e-6) for z in (z1, z2))
    return a.T @ b / len(a)  # (D, D)


seen = two_views(runs["NT-Xent"], lambda images: images)  # the views themselves, not embedded
before = [evaluation.features(runs["NT-Xent"].untrained, view) for view in seen]
C = {"untrained (h, no head)": cross_correlation(*before)}
C |= {f"λ = {value}": cross_correlation(*two_views(runs[f"λ = {value}"])) for value in LAMBDAS}

# %%
def on_and_off(C):
    """The mean of the diagonal, and the size (root mean square) of the other entries."""
    off = C[~torch.eye(len(C), dtype=torch.bool)]
    return C.diagonal().mean().item(), off.square().mean().sqrt().item()


found = {name: on_and_off(c) for name, c in C.items()}
show_table(["", "diagonal", "other entries"], [[n, *(f"{v:.2f}" for v in pair)] for n, pair in found.items()])
low, high = (found[f"λ = {value}"] for value in LAMBDAS)
assert low[0] > found["untrained (h, no head)"][0] + 0.3  # claim: with the small λ the views agree well ...
assert low[1] > low[0] / 2  # ... and all dimensions say nearly the same
assert high[1] < low[1] / 2  # claim: with the larger λ they repeat each other much less ...
assert high[0] > 1.4 * high[1]  # ... and the diagonal stands out

# %%
for lambda_ in LAMBDAS:
    name = f"λ = {lambda_}"
    figure = plots.similarity_matrix(C[name])
    figure.axes[0].set(xlabel="dimensions, second views", ylabel="dimensions, first views")
    figure.axes[1].set_ylabel("correlation")
    on, off = found[name]
    figure.caption = (f"{name}: the diagonal is {on:.2f} in the mean, the other entries have the size {off:.2f} (root mean "
                      "square; red is above 0, blue below).")
    figure.alt = f"Heat map of the 32 by 32 correlations of Barlow Twins with {name}."
    display(figure)

# %% [markdown]
# Before the training the views hardly agree. With the small λ they agree, but nearly as much off the diagonal
# as on it: all 32 dimensions say the same, up to the sign. That is a dimensional collapse, made by a number that was right
# somewhere else. With the larger λ the dimensions differ, and the diagonal stands out. It is also lower: to
# agree in 32 different ways is harder than to agree in one, and 80 steps are few. So λ decides between two
# goods, and it depends on the number of dimensions.
#
# ## 5. VICReg, term by term (12 minutes)
#
# Barlow Twins does everything in one matrix. *VICReg* says the same in three separate terms, and that makes it
# the best loss to take apart:
#
# * **invariance**: the mean squared difference between the two views. It pulls.
# * **variance**: every dimension should have a standard deviation of at least 1 over the batch. This forbids a
#   *complete* collapse.
# * **covariance**: different dimensions should not vary together. This forbids a *dimensional* collapse.

# %%
def covariance_term(z):
    z = z - z.mean(0)
    cov = z.T @ z / (len(z) - 1)  # (D, D)
    off = cov - torch.diag(cov.diagonal())
    return off.square().sum() / z.shape[1]


theirs = losses.vicreg(z1, z2)
assert torch.isclose((z1 - z2).square().mean(), theirs["invariance"])  # claim: the first term
by_hand = covariance_term(z1) + covariance_term(z2)
assert torch.isclose(by_hand, theirs["covariance"], rtol=1e-4)  # claim: the third term

# %% [markdown]
# ### Exercise 07b (10 minutes)
#
# The second term is yours. Think about what must not become weak when a dimension is nearly dead.

# %%
def variance_term(z):
    """VICReg's variance term of one view z (N, D): one number. For each dimension, how much its
    standard deviation over the batch, √(variance + 1e-4), falls short of 1 (0 if it does not); the
    mean over the dimensions. The variance divides by N - 1."""
    return None  # your lines here


# %%
check("07b", variance_term)

# %% [markdown]
# Why the root? A hinge on the variance itself looks almost the same. The next cell measures how hard both push
# on a single dimension: for one half as wide as it should be, a narrow one, and one that is nearly dead.

# %%
shape = torch.tensor([-1.0, -0.5, 0.5, 1.0]) / 0.9129  # standard deviation 1
rows = []
for width in (0.5, 0.1, 0.02):
    pushes = []
    for measure in (lambda z: z.var(), lambda z: (z.var() + 1e-4).sqrt()):
        z = (width * shape).requires_grad_()
        F.relu(1 - measure(z)).backward()
        pushes.append(z.grad.norm().item())
    rows.append([f"{width}", *(f"{push:.3f}" for push in pushes)])
show_table(["standard deviation", "push, hinge on the variance", "push, hinge on the root"], rows)
assert float(rows[-1][1]) < 0.1 * float(rows[-1][2])  # claim: near the collapse only the root pushes

# %% [markdown]
# A hinge on the variance lets go exactly where it is needed: its push shrinks with the width. The one on the
# root stays, down to about √1e-4. Below that it fades, too: this is the price of a finite gradient.
#
# ### The switchboard
#
# Now the experiment. VICReg has a coefficient for each term. We set one of them to 0, train again, and measure
# on the embeddings z of the test pictures: the mean standard deviation (not normalised, because VICReg does
# not) and RankMe. The kNN, on the representation, is only to look at.
#
# **Predict before you run.** Fill in before you see it: which switch lowers the std? Which one lowers RankMe?

# %%
my_prediction = None

# %%
switches = {
    "all three": {},
    "no variance": {"std_coeff": 0.0},
    "no covariance": {"cov_coeff": 0.0},
    "no invariance": {"sim_coeff": 0.0},
}
vicreg = {name: train(partial(losses.vicreg, **off)) for name, off in switches.items()}

# %%
def neighbours_vote(run):
    h, known = evaluation.features(run.encoder, data.test), evaluation.features(run.encoder, data.train)
    return evaluation.knn(known, data.train.labels, h, data.test.labels)


def measure(run):
    z = embed(run, data.test)
    return {"std": z.std(0).mean().item(), "rankme": rankme(z), "knn": neighbours_vote(run)}


board = {name: measure(run) for name, run in {"only pull": runs["only pull"], **vicreg}.items()}
show_table(["VICReg with", "std of z", "RankMe of z", "kNN (chance 0.125)"],
           [[n, f"{m['std']:.3f}", f"{m['rankme']:.1f}", m["knn"]] for n, m in board.items()])

# %%
on, no_variance, no_covariance = (board[n] for n in ("all three", "no variance", "no covariance"))
assert no_variance["std"] < on["std"] / 5  # claim: without the variance term, a complete collapse
assert no_covariance["std"] > on["std"] / 2  # claim: without the covariance term, no complete one ...
assert no_covariance["rankme"] < 0.8 * on["rankme"]  # ... but a dimensional one

# %%
shown = {name: evaluation.collapse(embed(run, data.test))["spectrum"] for name, run in vicreg.items()}
plots.spectrum(shown)

# %% [markdown]
# Each term guards one thing.
#
# * Without **variance**, the cloud shrinks to almost nothing, as with the loss that only pulls. RankMe did not
#   notice: what is left of the cloud is small, but it has many directions. (In section 1 RankMe did notice. There even less was left of
#   the cloud.)
# * Without **covariance**, the cloud is wide, even wider than before, but it lies in fewer directions. Std did
#   not notice.
# * Without **invariance**, both numbers are good. But nothing told the network that two views belong together.
#
# Two honest remarks. RankMe is far from 32 even with all three terms: 80 steps are few. And most intervals of
# the kNN overlap, so this table does not show which row would win in the end. A collapsed spectrum is a warning. A
# healthy one is no proof: without invariance nothing in the loss asks two views to agree, and still both numbers are good.
#
# Now take guards away yourself. The panel has five methods. Choose one, train it complete, take a guard away, train again:
# the runs stay beside each other. (SimSiam and BYOL belong to notebook 08. Write down which curve will fall before you
# press the button. The curves appear when you do.)

# %%
widgets.CollapseSwitchboard()

# %% [markdown]
# ## 6. What a weight penalty does, and what not (12 minutes)
#
# The article on which this kit is founded prevents bad solutions in another way. It adds a penalty on the size
# of the weights,
#
# $$\Omega = \sum_i \lVert \theta_i \rVert^p, \qquad \text{loss} = \frac{\lambda\,c + \omega\,\Omega}{2N},$$
#
# where c is the contrast of notebook 03, which only pulls. Check by hand:

# %%
layer = nn.Linear(3, 2)
by_hand = sum((theta**2).sum() for theta in layer.parameters())
assert torch.isclose(by_hand, losses.weight_penalty(layer.parameters()))  # claim: for p = 2, squares


def penalised(method, omega, z1, z2):
    weights = [p for p in method.parameters() if p.ndim > 1]
    contrast, penalty = losses.distance_contrast(z1, z2), losses.weight_penalty(weights)
    return losses.joint_loss(contrast, penalty, n_images=len(data.train), omega=omega)


# %% [markdown]
# (Here Ω is over the matrices only. `methods.ArticleSimCLR` takes all parameters, as the article writes.)
#
# **Does it prevent collapse?** The penalty never looks at a picture. Ask what its own favourite network is: all
# weights 0.
#
# **Predict before you run.** What does a network with all weights 0 say about your pictures? And with a larger
# ω, will the embeddings end wider or narrower?

# %%
my_prediction = None

# %%
empty = copy.deepcopy(runs["only pull"])
with torch.no_grad():
    for p in empty.method.parameters():
        p.zero_()
assert embed(empty, data.test).std(0).max() == 0  # claim: the penalty's optimum *is* a collapse

penalties = {0.0: runs["only pull"], 1e-1: train(None, omega=1e-1)}  # try: another ω
spread_of = lambda run: evaluation.collapse(embed(run, data.test))["std"] * 32**0.5  # 1 means evenly spread
widths = {omega: spread_of(run) for omega, run in penalties.items()}
guarded = spread_of(runs["NT-Xent"])
show_table(["", "std of z (1 = even)"], [*[[f"pull, ω = {o:g}", f"{w:.3f}"] for o, w in widths.items()],
                                         ["NT-Xent", f"{guarded:.3f}"]])
assert max(widths.values()) < guarded / 4  # claim: with both ω the embeddings collapse

# %% [markdown]
# With the penalty the embeddings collapse as they do without (one seed). It does not prevent collapse. It could not: its own optimum is a collapse, so it pulls in the same
# direction as the contrast. (The division by 2N hardly matters here. Adam, our optimiser, divides each gradient by
# its usual size.)
#
# **Does it limit the network?** The usual reason for a penalty is that small weights make simple functions.
# Look at our encoder. After each convolution comes a *batch norm*: it subtracts the mean of each channel and
# divides by its standard deviation.
#
# **Predict before you run.** Multiply all weights of all convolutions by 10. The penalty on them becomes 100
# times larger. How do the representations change? And the gradient of a loss?

# %%
my_prediction = None

# %%
def probe(factor):
    torch.manual_seed(0)
    net = nets.small_resnet(widths=(8, 16, 32)).double().train()
    kernels = [p for p in net.parameters() if p.ndim == 4]
    with torch.no_grad():
        for p in kernels:
            p.mul_(factor)
    h = net(seen[0][:64].double())
    gradients = torch.autograd.grad((h * torch.linspace(-1, 1, 32)).mean(), kernels)
    size = sum(gradient.square().sum() for gradient in gradients).sqrt()
    return h.detach(), size.item(), losses.weight_penalty(kernels).item()


(h, gradient, penalty), (h10, gradient10, penalty10) = probe(1), probe(10)
change = ((h10 - h).norm() / h.norm()).item()
assert change < 1e-2  # claim: the same function, up to the small constant inside batch norm ...
assert abs(penalty10 / penalty - 100) < 1e-6  # ... with 100 times the penalty ...
assert 8 < gradient / gradient10 < 12  # ... and a gradient that is 10 times smaller
print(f"representations changed by {change:.0e}, penalty x {penalty10 / penalty:.0f}, "
      f"gradient / {gradient / gradient10:.1f}")

# %% [markdown]
# With batch norm, the *size* of these weights means nothing: only their direction counts. So a penalty on the
# size cannot make the function simpler. What it does change is how fast they turn. Smaller weights are turned further by
# the same step. With plain gradient descent their gradients are larger, too. With Adam the step has about the same
# length, but it turns a short vector more than a long one. With batch norm a weight penalty acts like a **larger learning
# rate**, not like a simpler model.
#
# ## 7. The two roles, measured (12 minutes)
#
# The article gives each part of its loss a role. The contrast "finds structure", the regularisation "prevents
# overfitting". Both can be tested, as far as our minutes allow.
#
# **Contrast finds structure.** Do neighbours show the same shape? Our 80 steps are too few to see much, so the
# SimCLR run of notebook 04 stands beside them (600 steps of a larger network, read from its folder).

# %%
full = sslkit.datasets.load("shapes")
long = sslkit.pretrain("simclr", full, steps=600, seed=0, precision="float32", probe=500,
                       resume="runs/simclr_shapes")


def vote(represent):
    gallery, asked = full.train[torch.arange(1000)], full.test[torch.arange(600)]
    x, y = represent(gallery.images), represent(asked.images)
    return evaluation.knn(x, gallery.labels, y, asked.labels)


with_encoder = lambda encoder: vote(lambda images: evaluation.features(encoder, images))
votes = {"raw pixels": vote(lambda images: augment.to_float(images).flatten(1))}
votes |= {"untrained": with_encoder(runs["NT-Xent"].untrained)}
votes |= {f"{name}, 80 steps": with_encoder(runs[name].encoder) for name in ("only pull", "NT-Xent")}
votes["SimCLR (NT-Xent), 600 steps"] = with_encoder(long.encoder)
show_table(["", "kNN for the shape (chance 0.125)"], votes.items())

# %%
long_run, pull = votes["SimCLR (NT-Xent), 600 steps"], votes["only pull, 80 steps"]
assert long_run.low > votes["raw pixels"].high  # claim: with negatives and time, structure is found
assert long_run.low > votes["untrained"].high
assert pull.value < votes["raw pixels"].high  # claim: pulling alone shows no more than the pixels did

# %% [markdown]
# A contrast *with negatives* finds structure, given time. The article's own contrast has none, and shows
# nothing that the raw pixels did not show already. (It is above the untrained network. But this is not a fair comparison: the batch norms of
# the untrained network have seen no picture. Notebook 08 shows some to it, and it rises. 80 steps against 600 are not fair either; the fair
# race is notebook 11. And all these numbers are lower than in notebooks 00 and 06, because fewer pictures may vote here.)
#
# **Regularisation prevents overfitting.** Here is a model small enough to test this many times: a linear
# classifier on the pixels of handwritten digits, with 10 labelled pictures of each class. Its `decay` is the
# weight penalty (p = 2). We do it twice: with the right labels, and with each label, with probability 1/5, replaced
# by a random digit (which is right by luck once in ten times).
#
# **Predict before you run.** In which of the two cases does the penalty help on the test pictures?

# %%
my_prediction = None

# %%
digits = sslkit.datasets.load("digits")
pixels = {part: augment.to_float(getattr(digits, part).images) for part in ("train", "test")}
right = digits.train.labels


def few(seed, wrong):
    """10 pictures of each class: their numbers and their labels, a share of which is replaced at random."""
    g = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(right), generator=g)
    index = torch.cat([order[right[order] == c][:10] for c in range(10)])
    replaced = torch.rand(100, generator=g) < wrong
    return index, torch.where(replaced, torch.randint(10, (100,), generator=g), right[index])


# %%
def linear(decay, wrong, seed):
    index, labels = few(seed, wrong)
    x, test = pixels["train"][index].flatten(1), pixels["test"].flatten(1)
    fitted = evaluation.fit_linear(x, labels, decays=(decay,))
    return [(fitted.predict(a) == b).double().mean() for a, b in ((x, labels), (test, digits.test.labels))]


def average(model, knob, wrong, seeds=range(5)):
    train_accuracy, test_accuracy = torch.tensor([model(knob, wrong, seed) for seed in seeds]).mean(0).tolist()
    return train_accuracy, test_accuracy


DECAYS = (1e-4, 1e-2, 1e-1, 1.0)
fits = {(d, wrong): average(linear, d, wrong) for wrong in (0.0, 0.2) for d in DECAYS}
print("Means of 5 draws.")
show_table(["linear, penalty", "right labels: train", "test", "wrong labels: train", "test"],
           [[f"{d:g}", *(f"{v:.2f}" for wrong in (0.0, 0.2) for v in fits[d, wrong])] for d in DECAYS])

# %%
gain = {wrong: fits[0.1, wrong][1] - fits[1e-4, wrong][1] for wrong in (0.0, 0.2)}
assert gain[0.2] > 0.05  # claim: where there is noise to overfit to, the penalty helps much
assert abs(gain[0.0]) < 0.03  # claim: with right labels it neither helps nor harms
assert fits[1e-4, 0.2][0] == 1  # claim: without it, all the wrong labels are learned by heart

# %% [markdown]
# So the article's sentence is true *here*: little data, a model without batch norm, and labels that are partly
# wrong. With the right labels even this model has learned its 100 pictures by heart, and no penalty makes it
# better on new ones. "Fits the training data perfectly" and "overfits" are not the same.
#
# Now the same task for a network with batch norm, three draws of the data each.
#
# **Predict before you run.** Will the penalty help with wrong labels, as it did for the linear model?

# %%
my_prediction = None

# %%
def network(omega, wrong, seed, steps=60):
    index, labels = few(seed, wrong)
    torch.manual_seed(seed)
    net = nn.Sequential(nets.small_resnet(1, widths=(8, 16, 32)), nn.Linear(32, 10))
    weights = [p for p in net.parameters() if p.ndim > 1]
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = F.cross_entropy(net(pixels["train"][index]), labels) + omega * losses.weight_penalty(weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    pairs = ((pixels["train"][index], labels), (pixels["test"], digits.test.labels))
    with torch.no_grad():
        return [(net.eval()(a).argmax(1) == b).double().mean() for a, b in pairs]


# %%
OMEGAS = (0.0, 1e-3, 1e-2)
nets_fit = {(o, wrong): average(network, o, wrong, range(3)) for wrong in (0.0, 0.2) for o in OMEGAS}
print("Means of 3 draws.")
show_table(["network, ω", "right labels: train", "test", "wrong labels: train", "test"],
           [[f"{o:g}", *(f"{v:.2f}" for wrong in (0.0, 0.2) for v in nets_fit[o, wrong])] for o in OMEGAS])

# Claim: with each of these three ω all labels are learned by heart, the wrong ones too
assert min(train_accuracy for train_accuracy, _ in nets_fit.values()) > 0.97
# Claim: with wrong labels the penalty gains less than half of what it gained for the linear model
assert max(nets_fit[o, 0.2][1] for o in OMEGAS) - nets_fit[0.0, 0.2][1] < gain[0.2] / 2

# %% [markdown]
# The training columns tell the story: with each of these three ω the network still learns all labels by heart, the wrong ones
# too. The penalty was paid, and the function was not limited. (The last layer has no batch norm behind it, so
# with a much larger ω something must give. Try it.) On new pictures it does not help here.
#
# So this is what we can say about the two roles:
#
# * "The contrast finds structure": shown for NT-Xent with 600 steps. After 80 steps neither loss beats the raw pixels, and
#   their intervals overlap. What the loss that only pulls would do in 600 steps we did not test here.
# * "Regularisation prevents overfitting": true for some models and some data, such as a linear model with noisy
#   labels. With batch norm we did not see it. It is a question about *your* model, and you have to measure it.
# * Neither role is the guard against collapse. That is a third one, and the article's loss leaves it empty.
#
# ## What to remember
#
# * Collapse has two kinds, complete and dimensional. Watch a size (std) *and* a count (RankMe), and look at the
#   spectrum.
# * Every loss *of this notebook* that works has something that pulls and something that spreads. (Notebook 08 has losses that
#   only pull.) NT-Xent spreads pictures; Barlow
#   Twins and VICReg spread dimensions. Alignment alone is best in a collapsed network.
# * A weight penalty is not a guard: its own optimum is a collapse. On weights with a batch norm behind them it is not even a limit on
#   the function: it acts on the learning rate. On others, such as those of the last layer, it is one.
#
# **Further reading.** RankMe, arXiv 2210.02885. Dimensional collapse in contrastive learning, arXiv 2110.09348.
# Alignment and uniformity, arXiv 2005.10242. Barlow Twins, arXiv 2103.03230. VICReg, arXiv 2105.04906. L2
# regularisation and batch normalisation, arXiv 1706.05350.
#
# **Next: 08 · Without negatives.** BYOL and SimSiam have no negatives, and no variance term. Why do they not
# collapse?
