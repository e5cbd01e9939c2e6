# %% [markdown]
# # 13 · Scale up
#
# **The question: what changes on a GPU, and on many?**
#
# Everything so far ran on a laptop. The same code runs on a GPU, and with `torchrun` on several machines. Then four things
# are different: numbers have fewer digits, batches are larger, memory has another limit, and the negatives of a batch sit
# in several processes. Each of these can go wrong without an error message. Here you make each of them go wrong, and measure it.
#
# **We had no GPU.** No number of this course was measured on one. What is shown here is about rounding and *gradients*. The
# formats are the same everywhere; what autocast does with them is not. One cell measures a GPU if you have one, and says so if not.
#
# After this notebook you can
#
# * say what float16 and bfloat16 can hold, and what autocast does and does not do;
# * say what a large batch needs in memory, and compute the same gradient with less;
# * explain why gradient accumulation is not a large batch of negatives;
# * check that several processes learn what one would have learned.
#
# About 65 minutes, 22 of them for two exercises. The code runs in a minute and a half on two CPU cores, with no network.

# %%
import copy
import os
import re
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path

import torch
from IPython.display import Markdown, display

import sslkit
from sslkit import doctor, losses, plots, recipes, seeds, widgets
from sslkit.exercises import check, find

print("sslkit", sslkit.__version__)


def show_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    display(Markdown("\n".join(lines)))


# %% [markdown]
# ## 1. Numbers with half the bits (9 minutes)
#
# A number usually has 32 bits: float32. Two formats have 16, so they need half the memory, and a modern GPU multiplies
# them several times faster. They spend their bits differently. **float16** keeps more digits and a small range.
# **bfloat16** keeps the range of float32 and fewer digits.

# %%
# NBVAL_CHECK_OUTPUT
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
limits = {name: torch.finfo(kind) for name, kind in FORMATS.items()}
show_table(
    ["format", "largest number", "next after 1", "smallest with all digits"],
    [[name, f"{x.max:.3g}", f"1 + {x.eps:.2g}", f"{x.tiny:.2g}"] for name, x in limits.items()],
)

# %% [markdown]
# The contrastive loss needs exp(s / τ), where the cosine s is at most 1. **Predict before you run.** In which formats is
# exp(1 / τ) a finite number, for τ = 0.5, for τ = 0.1 and for τ = 0.05?

# %%
my_prediction = None

# %%
# NBVAL_CHECK_OUTPUT
def largest_term(temperature, kind):
    return (torch.tensor(1.0, dtype=kind) / temperature).exp().item()


table = {t: [largest_term(t, kind) for kind in FORMATS.values()] for t in (0.5, 0.1, 0.05)}
assert all(map(lambda row: row[2] < float("inf"), (table[0.5], table[0.1])))
assert table[0.05][2] == float("inf")  # claim: at a temperature of 0.05 float16 overflows
show_table(["temperature", *FORMATS], [[t, *(f"{x:.5g}" for x in row)] for t, row in table.items()])

# %% [markdown]
# An infinite loss is at least noticed. A **sum** in half precision fails quietly. Add 1 again and again, and keep the sum in
# the format. Where does it stop?

# %%
question = "You add 1 to a bfloat16 sum, 5,000 times. What is the sum?"


def count_to(n, kind):
    total, one = torch.zeros((), dtype=kind), torch.ones((), dtype=kind)
    for _ in range(n):
        total = total + one
    return total.item()


widgets.Predict(question, lambda: count_to(5000, torch.bfloat16))

# %%
# NBVAL_CHECK_OUTPUT
counted = {name: count_to(5000, kind) for name, kind in FORMATS.items()}
assert counted["bfloat16"] == 256 and counted["float16"] == 2048  # claim: where 1 is half a step, it is lost
step = {name: (1 + torch.tensor(1e-3, dtype=kind)).item() for name, kind in FORMATS.items()}
show_table(["format", "1 added 5,000 times", "1 + 0.001"], [[n, f"{counted[n]:g}", f"{step[n]:.6g}"] for n in FORMATS])

# %% [markdown]
# bfloat16 has the numbers 256 and 258, and nothing between. 256 + 1 lies in the middle, it is rounded back to 256, and the sum
# stands still.
#
# The last column is why **weights stay in float32**. A step of training often changes a weight by a thousandth *of its size* or
# less. In bfloat16 such a step changes nothing, and the network stands still while the loss is finite.
#
# So one rarely trains in half precision alone. One trains in *mixed* precision. `torch.autocast` chooses a format for each
# operation: matrix products and convolutions take 16 bits, and weights are not touched. Which other operations go back to
# 32 bits depends on the device. On a GPU, sums and exponentials do. On a CPU most of them do not, so a loss must cast by
# itself. Let us look.

# %%
data = sslkit.datasets.load("shapes", n=4000, resolution=16)
encoder = recipes.encoder(data, seed=0, widths=(16, 32, 64))
method = recipes.method("simclr", data, seed=0, encoder=encoder, head=(128, 64))
batch = method.collect(data.train.images[:64], torch.arange(64), None, seeds.generator("13"))

with torch.autocast("cpu", torch.bfloat16):
    z = method.head(method.encoder(torch.cat(batch.views)))  # (128, 64)
    loss = losses.nt_xent(*z.chunk(2))
loss.backward()
weight = method.encoder.get_parameter(next(name for name, _ in method.encoder.named_parameters()))
print(f"embeddings: {z.dtype}, loss: {loss.dtype}, weights: {weight.dtype}, their gradient: {weight.grad.dtype}")
assert (z.dtype, loss.dtype, weight.grad.dtype) == (torch.bfloat16, torch.float32, torch.float32)

# %% [markdown]
# The embeddings have 16 bits, the loss has 32: `sslkit.losses` cast their cosines back before they divide by the
# temperature. What if they did not? Here is NT-Xent as the formula says it, without a cast.

# %%
def naive_nt_xent(z, temperature):
    z = torch.nn.functional.normalize(z, dim=1)
    e = (z @ z.T / temperature).exp()
    e = e * ~torch.eye(len(z), dtype=torch.bool)
    partner = torch.arange(len(z)).roll(len(z) // 2)
    return -(e[torch.arange(len(z)), partner] / e.sum(1)).log().mean()


# %%
exact, rows = {}, []
z32 = z.detach().float()
for t in (0.5, 0.05):
    exact[t] = losses.nt_xent(*z32.double().chunk(2), temperature=t).item()
    naive = [naive_nt_xent(z32.to(kind), t).item() for kind in FORMATS.values()]
    ours = [losses.nt_xent(*z32.to(kind).chunk(2), temperature=t).item() for kind in FORMATS.values()]
    for name, values in (("naive", naive), ("package", ours)):
        rows += [[f"{name}, τ = {t}", *("not a number" if x != x else f"{x - exact[t]:+z.4f}" for x in values)]]
    assert max(abs(x - exact[t]) for x in ours) < 0.05  # claim: the package's loss is right in every format
assert not torch.tensor(naive[2]).isfinite()  # claim: the naive one is not, where float16 overflows
show_table(["error of the loss", *FORMATS], rows)

# %% [markdown]
# The naive loss is off in bfloat16, and not a number in float16 at the low temperature. The package's is right in every format.
#
# With float16 one needs a second trick. Small *gradients* become 0, so the loss is multiplied by a large number first
# and the gradient is divided afterwards (`torch.amp.GradScaler`). bfloat16 has the range of float32 and needs no such thing.
# That is why sslkit offers float32 and bfloat16 only.
#
# Is it faster? That depends on the machine. The next cell measures the default encoder, forward and backward, in turn.

# %%
where = sslkit.device.best_device()
seconds = doctor.format_seconds(where, rounds=2)
rule = sslkit.device.choose()
show_table(
    [f"on {where}", "times as fast as float32"],
    [[name, f"{seconds['float32'] / value:.1f}"] for name, value in seconds.items()],
)
gpu = where == "cuda"
print("This is your GPU; nobody here has measured one." if gpu else "No GPU here: nothing about GPUs is measured.")
print(f"The package's rule for this machine: {rule.precision}, channels last: {rule.channels_last}.")

# %% [markdown]
# On a processor that only *emulates* bfloat16 it costs time instead of saving it. `python -m sslkit doctor` measures this
# for your machine, and says what to pass where the rule is wrong.
#
# ## 2. What a large batch costs (8 minutes)
#
# Contrastive learning likes many negatives, so batches are large. NT-Xent compares all views with all: for N pictures a
# matrix of 2N times 2N cosines. **Predict before you run.** If the batch doubles, what happens to the memory?
#
# The next cell but one is a measuring tool. You need not understand it: it notes the largest memory that new tensors held at one time.

# %%
my_prediction = None

# %%
class Peak(torch.utils._python_dispatch.TorchDispatchMode):
    """The most memory that new tensors held at one time, in bytes."""

    now, most = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for x in torch.utils._pytree.tree_leaves(out):
            if isinstance(x, torch.Tensor) and (memory := x.untyped_storage())._cdata not in self.alive:
                self.alive[memory._cdata] = memory.nbytes()
                weakref.finalize(memory, self.alive.pop, memory._cdata, None)
        self.most = max(self.most, sum(self.alive.values()))
        return out

    def __init__(self):
        super().__init__()
        self.alive = {}  # {address: bytes}


# %%
def measure(loss, n):
    z = torch.randn(2 * n, 64, generator=seeds.generator("memory", n)).requires_grad_()
    with Peak() as peak:
        value = loss(z)
        gradient = torch.autograd.grad(value, z)[0]
    return peak.most / 2**20, value.detach(), gradient


def dense(z):
    return naive_nt_xent(z, 0.5)


peaks = {n: measure(dense, n)[0] for n in (256, 512, 1024)}
assert 3.5 < peaks[1024] / peaks[512] < 4.5  # claim: twice the batch, four times the memory
show_table(
    ["pictures", "the matrix alone, MiB", "at the peak, MiB"],
    [[n, f"{(2 * n) ** 2 * 4 / 2**20:.0f}", f"{peak:.0f}"] for n, peak in peaks.items()],
)

# %% [markdown]
# Four times. And the peak holds several such matrices, because the backward pass needs what the forward pass computed. The
# whole network grows in proportion to the batch, the loss with its *square*, so at some size the loss is what does not fit.
#
# But nobody needs the whole matrix at once. A row of it is enough for the loss of one view. So compute a few rows, add up
# their losses, throw the rows away, and compute them *again* for the gradient. `checkpoint` does the second part.

# %%
def by_rows(z, rows=256, temperature=0.5):
    z = torch.nn.functional.normalize(z, dim=1)
    partner = torch.arange(len(z)).roll(len(z) // 2)

    def some(first):
        logits = z[first : first + rows] @ z.T / temperature
        logits = logits.masked_fill(torch.arange(first, first + len(logits))[:, None] == torch.arange(len(z)), -torch.inf)
        return torch.nn.functional.cross_entropy(logits, partner[first : first + rows], reduction="sum")

    parts = [torch.utils.checkpoint.checkpoint(some, i, use_reentrant=False) for i in range(0, len(z), rows)]
    return sum(parts) / len(z)


# %%
def package(z):
    return losses.nt_xent(*z.chunk(2), temperature=0.5)  # by rows above 1,024 views


curves = {"all at once": {}, "by rows": {}, "package": {}}
for n in (256, 1024, 2560):  # try: 4096, if there are 2 GB of free memory
    found = {name: measure(loss, n) for name, loss in zip(curves, (dense, by_rows, package))}
    for name, (peak, value, gradient) in found.items():
        curves[name][n] = peak
        assert torch.allclose(value, found["all at once"][1], rtol=1e-4)  # claim: the same loss ...
        assert torch.allclose(gradient, found["all at once"][2], atol=1e-7)  # ... and the same gradient
figure = plots.growth(curves, xlabel="pictures in a batch", ylabel="memory at the peak, MiB")
figure.caption += " Both axes are logarithmic: the steeper line is the square. The package goes by rows above 512 pictures."
figure

# %%
saved = {name: curves["all at once"][2560] / curves[name][2560] for name in ("by rows", "package")}
assert min(saved.values()) > 3  # claim: with the largest batch here it takes less than a third
print(", ".join(f"{name}: {factor:.0f} times less memory" for name, factor in saved.items()), "with 2,560 pictures")

# %% [markdown]
# The same gradient, to rounding. The price is that each cosine is computed twice. The package does not pay it: the gradient of
# a single number is known as soon as the number is, so it makes the gradient while the rows are there. Up to 1,024 views it
# holds the whole matrix, which is simpler. Nothing has to be set.
#
# ## 3. Gradient accumulation (8 minutes, and 14 for an exercise)
#
# The loss fits now, but the network does not: 4,096 pictures, two views each, with everything that backward needs. The usual
# answer is **gradient accumulation**: compute the gradient of a small piece, do it again for the next piece, add the
# gradients up, and step once. For a classifier this is exact. **Predict before you run.** We take 256 pictures in four
# pieces of 64, and in pieces of 4. How far off is the accumulated gradient: in direction, in length?

# %%
my_prediction = None

# %%
# A few steps first: an untrained network calls all pictures equal, whatever the batch.
method = sslkit.pretrain(method, data, steps=40, batch_size=128, marks=0, precision="float32", progress=False).method
network = torch.nn.Sequential(method.encoder, method.head)
pictures = data.train.images[:256]
views = torch.stack(method.collect(pictures, torch.arange(256), None, seeds.generator("views")).views, dim=1)
views = views.contiguous()  # (256, 2, 3, 16, 16)


def encode(piece):
    return network(piece.flatten(0, 1)).unflatten(0, (len(piece), 2))  # (n, 2, 64)


def contrast(z):
    return losses.nt_xent(z[:, 0], z[:, 1], temperature=0.2)


# %%
def at_once(encode, pieces, loss):
    value = loss(encode(torch.cat(pieces)))
    value.backward()
    return value.detach()


def accumulate(encode, pieces, loss):
    total = 0.0
    for piece in pieces:
        value = loss(encode(piece)) / len(pieces)
        value.backward()  # adds to the gradients that are there, and frees the graph of this piece
        total += value.detach()
    return total


# %%
def try_out(way, pieces, *, train=False):
    before = copy.deepcopy(network.state_dict())  # batch norms move when they are looked at in training
    network.train(train).zero_grad()
    value = float(way(encode, pieces, contrast))
    network.load_state_dict(before)
    return value, torch.cat([p.grad.flatten() for p in network.parameters()])


def beside(found, reference):
    (value, g), (_, g0) = found, reference
    cosine = torch.nn.functional.cosine_similarity(g, g0, dim=0)
    return f"{value:.3f}", f"{cosine:.3f}", f"{g.norm() / g0.norm():.3f}"


# %%
pieces = views.split(64)
whole = try_out(at_once, pieces)
ways = {"one batch of 256": whole} | {
    f"{256 // n} x {n}, accumulated": try_out(accumulate, views.split(n)) for n in (64, 16, 4)
}
show_table(["", "loss", "cosine with the gradient of one batch", "its length"], [[w, *beside(f, whole)] for w, f in ways.items()])


def off(found, reference):
    return float((found[1] - reference[1]).norm() / reference[1].norm())


apart = {name: off(found, whole) for name, found in ways.items()}
chance = {n: losses.nt_xent_references(n, temperature=0.2)["collapsed"] for n in (4, 16, 64, 256)}
print("off by", ", ".join(f"{error:.0%} ({name})" for name, error in apart.items()))
print("chance:", ", ".join(f"{value:.2f} with {n} pictures" for n, value in chance.items()))
assert abs(whole[0] - ways["4 x 64, accumulated"][0]) > 1  # claim: it is not the same loss ...
assert 0.01 < apart["4 x 64, accumulated"] < apart["16 x 16, accumulated"] < apart["64 x 4, accumulated"]
assert apart["64 x 4, accumulated"] > 0.2  # ... and the fewer negatives, the more another gradient

# %% [markdown]
# The loss is another one at once: in a piece of 64 each view has to find its partner among 127 other views, not among 511.
# So is chance, and the two curves cannot be compared. The gradient is off, too. How much depends on the piece. With 64 pictures
# there are negatives enough, and for this small network the direction is nearly right. With 4 it is not. In a real case
# nobody knows beforehand how many are enough, and a GPU that holds 4 large pictures is nothing rare.
#
# What you do get is the *averaging* of a large batch, which makes the gradient less noisy. What you do not get is its
# *negatives*.
#
# There is a way out, at the price of a second forward pass (GradCache, arXiv 2101.06983). The loss needs the embeddings only.
# So first compute all embeddings without any graph, then the loss and its gradient at the embeddings. Then encode each piece
# again, with a graph, and hand it its part of that gradient.
#
# ### Exercise 13a (14 minutes)

# %%
def large_batch(encode, pieces, loss):
    """pieces: list of tensors (n, 2, F), two views each. encode(piece) gives embeddings (n, 2, D); loss(z) takes
    the embeddings (N, 2, D) of all pieces. Leave in the weights of `encode` the gradient of that loss, as if the
    batch had been one, and return the loss. First pass: embeddings of all pieces under torch.no_grad(), the loss,
    and its gradient at the embeddings. Second pass: encode piece by piece, and `z.backward(its gradient)`."""
    return None  # your lines here


# %%
check("13a", large_batch)

# %%
cached = find("13a").reference  # the package's answer to the exercise; do not look yet
ways["64 x 4, in two passes"] = try_out(cached, views.split(4))
assert off(ways["64 x 4, in two passes"], whole) < 1e-3  # claim: two passes give the gradient of the large batch
show_table(["", "loss", "cosine with the gradient of one batch", "its length"], [[w, *beside(f, whole)] for w, f in ways.items()])

# %% [markdown]
# Exactly the gradient of one batch. The networks above were in `eval()` mode, and that was no accident. In training a
# **batch norm** mixes the pictures of a batch, so a piece of 64 is normalised otherwise than a batch of 256:

# %%
one_batch, plain, twice = (try_out(way, pieces, train=True) for way in (at_once, accumulate, cached))
gaps = {"accumulated": off(plain, one_batch), "in two passes": off(twice, one_batch)}
assert min(gaps.values()) > 0.02  # claim: with batch norms even two passes are not exact ...
assert gaps["in two passes"] > 0.5 * gaps["accumulated"]  # ... and win next to nothing
print("in training mode, 4 x 64: off by", ", ".join(f"{gap:.0%} ({way})" for way, gap in gaps.items()))

# %% [markdown]
# With batch norms both ways have about the same error, and it is large: what a batch norm does to a piece is far more than what
# the missing negatives do. So two passes are worth their price only without batch norms (`norm="group"`, or a transformer), or
# with norms that stand still.
#
# ## 4. Several processes (10 minutes, and 8 for an exercise)
#
# With several GPUs there is a process for each. Every process has the same weights and its own share of the batch. After the
# backward pass the gradients are averaged over the processes, and all make the same step. For a classifier that is all
# there is to it. For a contrastive loss it is accumulation again: a process sees its own negatives only.
#
# So the embeddings are **gathered**: every process gets those of all, and computes the loss of the whole batch. The trap is the
# way back. `torch.distributed.all_gather` has no gradient. Three ways to write it:
#
# * **no gather**: each process has its own loss.
# * **own rows**: gather, then put your own embeddings, which have a graph, back in their place. Many programs do this.
# * **gather**: gather, with a backward pass that was written for it.
#
# **Predict before you run.** The gradients are averaged over two processes. Which of the three gives the gradient of one
# process with the whole batch? For the other two: is the loss wrong, the direction, or the length?

# %%
my_prediction = None

# %%
SCRIPT = """
import sys, torch, torch.distributed as dist
from sslkit import distributed, losses
torch.set_num_threads(1)

def own_rows(z):
    parts = [torch.empty_like(z) for _ in range(distributed.world()[1])]
    dist.all_gather(parts, z.detach())
    parts[distributed.world()[0]] = z
    return torch.cat(parts)

WAYS = {"no gather": lambda z: z, "own rows": own_rows, "gather": distributed.gather}
"""

# %%
SCRIPT += """
with distributed.processes():
    rank, world = distributed.world()
    network, views, found = *torch.load(sys.argv[1], weights_only=False), {}
    mine = views.chunk(world)[rank]  # (n, 2, 3, 16, 16)
    for train in (False, True):
        for way, gathered in WAYS.items():
            network.train(train).zero_grad()
            z = gathered(network(mine.flatten(0, 1)).unflatten(0, (len(mine), 2)))
            loss = losses.nt_xent(z[:, 0], z[:, 1], temperature=0.2)
            loss.backward()
            gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
            # what DistributedDataParallel does with gradients
            found[way, train] = loss.item(), distributed.mean(gradient)
    if rank == 0:
        torch.save(found, sys.argv[2])
"""

# %% [markdown]
# `torchrun` starts the processes and tells each of them its number. On CPUs they talk through *gloo*, on GPUs through *NCCL*.
# The next cell starts two processes for real.

# %%
folder = tempfile.TemporaryDirectory()
script, given, result = (Path(folder.name) / name for name in ("two.py", "given.pt", "result.pt"))
script.write_text(SCRIPT)
few = views[:16]  # of large pictures a GPU may hold no more than 8
torch.save((network, few), given)
env = {**os.environ, "OMP_NUM_THREADS": "1"} | ({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {})
torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
on_cpu = {**env, "CUDA_VISIBLE_DEVICES": ""}  # there may be one GPU only
done = subprocess.run([*torchrun, script, given, result], env=on_cpu, capture_output=True, text=True)
assert done.returncode == 0, done.stderr[-2000:]
two = torch.load(result)
print("two processes:", ", ".join(way for way, train in two if not train))

# %%
alone = try_out(at_once, [few])
answers = {way: two[way, False] for way in ("no gather", "own rows", "gather")}
rows = [["one process", *beside(alone, alone)], *([f"two, {way}", *beside(f, alone)] for way, f in answers.items())]
show_table(["", "loss", "cosine with the gradient of one process", "its length"], rows)
error = {way: off(found, alone) for way, found in answers.items()}
print("off by", ", ".join(f"{value:.2%} ({way})" for way, value in error.items()))
assert error["gather"] < 1e-3 < 0.05 < error["no gather"]  # claim: with the gather two processes learn what one would
half = answers["own rows"][1].norm() / alone[1].norm()
assert abs(half - 0.5) < 0.01  # claim: own rows only give the right direction, divided by the number of processes

# %% [markdown]
# * **no gather** has another loss and another gradient: the negatives of half a batch.
# * **own rows** shows the right loss, and nothing looks wrong. But the gradient is too short by the number of processes, as if
#   somebody had lowered the learning rate. With an optimiser such as Adam, which divides by the size of gradients, you
#   would hardly notice. With SGD you would.
# * **gather** is right. My rows stand in the losses of *all* processes. So on the way back the package adds up what all of them
#   ask of my rows.
#
# ### Exercise 13b (8 minutes)

# %%
def gather_backward(gradients, rank):
    """gradients (W, W * B, D): gradients[p] is the gradient of the loss of process p with respect to the
    gathered rows. Process r gave the rows from r * B to (r + 1) * B. Return the gradient of the *sum*
    of all losses with respect to the rows of process `rank`, (B, D)."""
    return None  # your lines here


# %%
check("13b", gather_backward)

# %% [markdown]
# And the batch norms? They were in `eval()` mode again. In training each process has statistics of its own share:

# %%
one = try_out(at_once, [few], train=True)
gap = off(two["gather", True], one)
assert gap > 0.01  # claim: batch statistics of each process differ
print(f"loss {one[0]:.4f} in one process, {two['gather', True][0]:.4f} in two; the gradient differs by {gap:.0%}")

# %% [markdown]
# So even with the right gather two processes are not one, as long as there are batch norms. With so few pictures in each
# process the difference is large, larger than that of the missing negatives. It becomes smaller when each process has more
# pictures. There is another problem: a batch norm tells every picture something about the others of *its* process, and if
# both views of a picture are in one process, that can give the answer away (MoCo shuffles its keys for this reason). On GPUs the package uses `SyncBatchNorm`, which computes the statistics of the whole batch.
# PyTorch has it for GPUs only, so here we cannot show it.
#
# ## 5. A larger batch wants another learning rate (5 minutes)
#
# The gradient of a batch is a mean over pictures, so it is noisy, and a larger batch has less noise. How much less? A loss
# without negatives shows it best: a linear classifier on pixels.

# %%
x, y = data.train.images.flatten(1).float() / 255, data.train.labels


def classifier_gradient(index, weight):
    weight = weight.detach().requires_grad_()
    torch.nn.functional.cross_entropy(x[index] @ weight, y[index]).backward()
    return weight.grad


# %%
start = torch.zeros(x.shape[1], 8)
generator = seeds.generator("noise")
noise = {}
for size in (32, 128, 512):
    drawn = [torch.randint(len(x), (size,), generator=generator) for _ in range(50)]
    noise[size] = torch.stack([classifier_gradient(index, start) for index in drawn]).std(0).mean().item()
assert all(1.7 < noise[n] / noise[4 * n] < 2.3 for n in (32, 128))  # claim: four times the batch, half the noise
print(", ".join(f"batch {n}: noise {value:.1e}" for n, value in noise.items()))

# %% [markdown]
# Four times the pictures, half the noise. With plain **SGD** the usual rule is: k times the batch, k times the learning rate.
# Then one large step goes as far as k small ones. **Adam** divides each gradient by its usual size, so its steps have the same
# length whatever the gradient. There the root of k is the more careful choice, as the noise falls with the root.

# %%
index = torch.randperm(len(x), generator=generator)[:512]
small, large = start, start - 4 * 0.001 * classifier_gradient(index, start)
for part in index.chunk(4):
    small = small - 0.001 * classifier_gradient(part, small)
apart = (small - large).norm() / (large - start).norm()
assert apart < 0.2  # claim: four steps of SGD are nearly one step of four times the rate
print(f"SGD: 4 steps and 1 step of 4 times the rate differ by {apart:.0%} of the way")

lengths = []
for scale in (1.0, 100.0):
    weight = start.clone().requires_grad_()
    weight.grad = scale * classifier_gradient(index, start)
    torch.optim.Adam([weight], lr=0.01).step()
    lengths.append(weight.detach().norm().item())
assert abs(lengths[1] / lengths[0] - 1) < 0.01  # claim: the first step of Adam does not depend on the gradient's size
print(f"Adam: a gradient 100 times as large moves {lengths[1] / lengths[0]:.3f} times as far")

# %% [markdown]
# Both are rules of thumb. With a contrastive loss the batch also changes the *task*, so there is no rule that holds without
# measuring. Change the batch, try three learning rates, and compare probes and not losses: chance itself has moved.
#
# ## 6. Killed (4 minutes)
#
# A long run on a shared machine will be killed. Notebook 04 stopped a training politely. Now we kill it: SIGKILL, no warning, no
# last words. Then the same command again. Does it learn the same?

# %%
out = Path(folder.name) / "run"
# As `python -m sslkit train`, but with a checkpoint every few steps instead of every minute: this run is short.
often = "import sys, sslkit.cli; sslkit.checkpoint.SECONDS_BETWEEN = 0; sys.exit(sslkit.cli.main())"
command = [sys.executable, "-c", often, "train", "--data", "digits", "--steps", "60", "--batch-size", "64"]
log = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
env |= {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # as many as here: other sums, other last digits
job = subprocess.Popen([*command, "--out", str(out)], env=env, **log)
for line in job.stdout:
    if line.startswith("step") and int(re.search(r"\d+", line)[0]) >= 30:
        break
job.kill()
job.communicate()
print("killed after:", line.strip())
kept = sslkit.checkpoint.read(out)["history"]["step"]
assert kept >= 20  # claim: the second run has something to go on from
print("in the last checkpoint: step", kept)

# %%
again = subprocess.run([*command, "--out", str(out)], env=env, **log)
assert again.returncode == 0, again.stdout
print("the second run begins with:", next(line for line in again.stdout.splitlines() if line.startswith("step")))
straight = sslkit.pretrain("simclr", "digits", steps=60, batch_size=64, seed=0, progress=False)
resumed = sslkit.load(out)
pairs = zip(straight.method.state_dict().values(), resumed.method.state_dict().values())
assert all(torch.equal(a, b) for a, b in pairs)  # claim: killed and resumed is the same as never killed, bit for bit
print(resumed, "the same bits as a run that was never killed")
folder.cleanup()

# %% [markdown]
# A checkpoint is written about once a minute, so at most a minute of work is lost. With `torchrun` in front the same holds
# for several processes: if one dies, all end with a sentence, and the same command goes on.
#
# ## What to remember
#
# * Sums, exponentials and weights want 32 bits; matrix products are content with 16. Autocast takes care of the
#   products. Check the loss yourself.
# * The similarity matrix grows with the square of the batch. Computed by rows it does not have to be held.
# * Accumulated gradients have the negatives of a piece. Two passes give those of the whole batch, without batch norms.
# * Over processes: gather the embeddings, and add up the gradients on the way back. Check it against one process, once.
# * Change the batch, and you change the loss, its chance level, and the best learning rate.
#
# **Further reading.** Mixed precision: arXiv 1710.03740. Large batches for contrastive learning: SimCLR, arXiv 2002.05709
# (section 5.2). Two passes: GradCache, arXiv 2101.06983. Memory by recomputing: arXiv 1604.06174. Learning rate and batch:
# arXiv 1706.02677 (SGD), arXiv 2205.10287 (Adam). Batch norms that betray: MoCo, arXiv 1911.05722 (section 3.3).
#
# **Next: 14 · Beyond pictures.** And for your own machine: `python -m sslkit doctor` says what it can do and how long each method
# takes on it.
