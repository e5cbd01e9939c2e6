# %% [markdown]
# # 08 · Without negatives
#
# **The question: why do BYOL and SimSiam not collapse?**
#
# In notebook 03 you trained a network with a loss that only pulls the two views of a picture together. It *collapsed*:
# all pictures got the same embedding. The cure was negatives. But there are methods that have no negatives, that only
# pull, and that still learn. Something else must keep the pictures apart. You will take it out, piece by piece, and
# look.
#
# After this notebook you can
#
# * say why the loss of SimSiam cannot tell success from collapse, and which numbers can;
# * write a teacher that follows its student, and the training step of SimSiam;
# * name what each method uses instead of negatives: a predictor and a stop-gradient, even codes, or a centre; and what MoCo's queue
#   is for, which makes negatives cheap;
# * show which of these guards matter, by switching them off.
#
# About 105 minutes, 22 of them for two exercises. The code runs in about a minute on two CPU cores, with no network.

# %%
import math

import torch
from IPython.display import Markdown, display
from torch import nn

import sslkit
from sslkit import augment, evaluation, losses, methods, nets, plots, recipes, widgets
from sslkit.exercises import check

print("sslkit", sslkit.__version__)

# %% [markdown]
# ## 1. A loss that cannot tell (8 minutes)
#
# SimSiam compares two vectors by the **negative cosine**: -1 if they point in the same direction, 0 if they are at
# right angles, 1 if they are opposite. In a loop over the pairs:

# %%
def loop_negative_cosine(p, z):
    total = 0
    for a, b in zip(p, z):  # two vectors that should point in the same direction
        total = total - (a @ b) / (a.norm() * b.norm())
    return total / len(p)


p, z = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
theirs = losses.cosine_distance(p, z)
assert torch.allclose(loop_negative_cosine(p, z), theirs)  # claim: your loop is the package's loss
print(f"6 random pairs: {loop_negative_cosine(p, z):.2f}, 6 equal pairs: {loop_negative_cosine(p, p):.2f}")

# %% [markdown]
# Now three networks, made up for this purpose. The first gives every picture a direction of its own, and both its views
# the same one: a *success*. The second gives all pictures the same direction: a *collapse*. The third answers at
# random.
#
# **Predict before you run.** What is the loss of each? Which number could tell the first from the second?

# %%
my_prediction = None

# %%
own, other = torch.randn(2, 256, 64, generator=torch.Generator().manual_seed(1))
one = torch.ones(256, 64)
three = {"success": (own, own), "collapse": (one, one), "nothing learned": (own, other)}
lines, seen = ["| | loss | std | RankMe |", "|---|---:|---:|---:|"], {}
for name, (p, z) in three.items():
    report = evaluation.collapse(z)
    seen[name] = (losses.cosine_distance(p, z).item(), report["std"], report["rankme"])
    lines.append(f"| {name} | {seen[name][0]:.2f} | {report['std']:.3f} | {report['rankme']:.1f} |")
assert math.isclose(seen["success"][0], seen["collapse"][0], abs_tol=1e-5)  # claim: the same loss
assert seen["success"][2] > 30 * seen["collapse"][2]  # claim: RankMe tells them apart
display(Markdown("\n".join(lines)))

# %% [markdown]
# The lowest loss, -1, is reached by the best network and by the worst. So in this notebook a loss never stands alone.
# Two numbers stand beside it (notebook 03):
#
# * **std**: how much the embeddings of different pictures differ, each set to length 1. Evenly spread directions of 64
#   dimensions have 1/8; equal ones have 0.
# * **RankMe**: in how many directions they lie, seen from 0. 1 means a point, or a line through 0.
#
# ## 2. A teacher that follows slowly (10 minutes)
#
# BYOL ("bootstrap your own latent") has two networks. The **student** sees one view and predicts what the **teacher**
# says of the other view. Nobody trains the teacher. It begins as a copy of the student, and after each step every one
# of its weights moves a little towards the student's:
#
# $$\text{teacher} \leftarrow m \cdot \text{teacher} + (1 - m) \cdot \text{student}$$
#
# This is an *exponential moving average* (EMA), and m is called the **momentum**. Take a single weight. The teacher has
# 0, the student has moved to 1 and stays there.

# %%
def follow(momentum, steps):
    teacher, path = 0.0, []
    for _ in range(steps):
        teacher = momentum * teacher + (1 - momentum) * 1.0  # the student's weight is 1
        path.append(teacher)
    return path


# %% [markdown]
# **Predict before you run.** The momentum is `0.99`. After how many steps has the teacher gone most of the way, say
# $1-1/e$, which is a little less than two thirds? And with `0.999`? Record the second number in the card, with a range
# that you trust. Then it lets you run, and asks why.

# %%
def most_of_the_way(momentum):
    path = follow(momentum, 3000)
    return next(step for step, weight in enumerate(path, 1) if weight > 1 - 1 / math.e)


question = "After how many steps has a teacher with the momentum 0.999 gone most of the way?"
widgets.Predict(question, lambda: most_of_the_way(0.999), unit="steps")

# %%
# NBVAL_CHECK_OUTPUT
for momentum in (0.9, 0.99, 0.996, 0.999):
    steps = most_of_the_way(momentum)
    memory = 1 / (1 - momentum)
    assert abs(steps - memory) <= 1  # claim: the teacher remembers about 1 / (1 - m) steps
    print(f"momentum {momentum}: most of the way in {steps} steps; 1 / (1 - m) = {memory:.0f}")

# %% [markdown]
# So read the momentum as a **memory of 1 / (1 - m) steps**: the teacher is an average of the students of about so many
# last steps. `0.99` and `0.999` look alike and differ by a factor of ten. And the memory must fit the training. In a
# training of 100 steps, a teacher with the momentum `0.999` is still nearly the random network of the beginning.
#
# The package has this as `nets.Teacher`. Look at what moves when the student is trained:

# %%
student = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
teacher = nets.Teacher(student)
before = teacher.network[0].weight.clone()
optimiser = torch.optim.SGD(student.parameters(), lr=1.0)
student(torch.randn(8, 4, generator=torch.Generator().manual_seed(0))).square().mean().backward()
optimiser.step()
assert torch.equal(teacher.network[0].weight, before)  # claim: the optimiser does not move it ...
teacher.follow(student, momentum=0.9)
by_hand = 0.9 * before + 0.1 * student[0].weight
assert torch.allclose(teacher.network[0].weight, by_hand)  # ... the moving average does
assert not torch.equal(teacher.network[1].running_mean, student[1].running_mean)  # and it counts for itself
assert not any(weight.requires_grad for weight in teacher.parameters())

# %% [markdown]
# ### Exercise 08a (12 minutes)
#
# Three things are easily forgotten. Nothing here may have a gradient. The operation must write into the teacher, not
# into the student. And a *batch norm* has more than its weights: it keeps a running mean and variance of what it has
# seen. These *buffers* belong to the weights of their own network. The teacher sees the batches, too, so it counts for itself: leave its
# buffers alone. (Many codes copy them. The training does not show it, because while it trains a batch norm uses the batch. But in eval mode
# such a teacher speaks with the statistics of another network.)

# %%
def ema_update(teacher, student, *, momentum):
    """Two networks of the same form. Move the teacher's parameters in place, leave its buffers and the
    student alone, and give the teacher back."""
    return None  # your lines here


# %%
check("08a", ema_update)

# %% [markdown]
# ## 3. SimSiam in ten lines (8 minutes)
#
# SimSiam ("simple Siamese") goes one step further and has no teacher. One network sees both views. Three parts:
#
# * encoder and head make of each view a **projection** z;
# * one more small network, the **predictor**, turns z into a **prediction** p of the *other* view's projection;
# * the other view's projection is a fixed target. `z.detach()` says so: no gradient flows into it. This is the
#   **stop-gradient**.
#
# Here is the whole training. The pictures are `shapes`, painted with 16 by 16 pixels, to be fast. We take encoder, head
# and predictor from the package. The loop is ours.

# %%
data = sslkit.datasets.load("shapes", n=4000, resolution=16)
view = recipes.views_for(data)
images = data.train.images
D = losses.cosine_distance


def new_encoder(seed):
    torch.manual_seed(seed)
    return nets.small_resnet(widths=(16, 32)).set_statistics(augment.to_float(images))


simsiam = methods.SimSiam(new_encoder(0), head=(128, 64), policies=[view, view])
encoder, head, predictor = simsiam.encoder, simsiam.head, simsiam.predictor
optimiser = torch.optim.AdamW(simsiam.parameters(), lr=3e-3)
draw = torch.Generator().manual_seed(0)


# %%
def step():
    some = images[torch.randint(len(images), (128,), generator=draw)]
    x1, x2 = augment.views(some, [view, view], draw)
    z1, z2 = head(encoder(torch.cat([x1, x2]))).chunk(2)  # two projections (128, 64)
    p1, p2 = predictor(torch.cat([z1, z2])).chunk(2)  # two predictions (128, 64)
    loss = (D(p1, z2.detach()) + D(p2, z1.detach())) / 2
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return x1, x2, loss.item()


# %% [markdown]
# First the check. Before any training, is this the loss of `methods.SimSiam`?

# %%
x1, x2, loss = step()  # the loss of the network before its first step
same = methods.SimSiam(new_encoder(0), head=(128, 64), policies=[view, view])
theirs = same(methods.Batch([x1, x2], torch.arange(128)))["loss"].item()
assert math.isclose(loss, theirs, abs_tol=1e-5)  # claim: the ten lines are the package's SimSiam
print(f"by hand {loss:.4f}, package {theirs:.4f}")

# %% [markdown]
# **Predict before you run.** 60 steps. Nothing in this loss compares two different pictures. What will the loss do?
# What will RankMe do?

# %%
my_prediction = None

# %%
@torch.no_grad()
def projections(encoder, head):
    return head.eval()(evaluation.features(encoder, data.test))  # (N, 64)


def settled(network):
    """The untrained network after its batch norms have seen 60 batches. Nothing is learned."""
    own = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for _ in range(60):
            some = images[torch.randint(len(images), (128,), generator=own)]
            network.train()(augment.view(some, view, own))
    return network


settled(nn.Sequential(same.encoder, same.head))
start = evaluation.collapse(projections(same.encoder, same.head))
curve = [step()[-1] for _ in range(60)]
end = evaluation.collapse(projections(encoder, head))
assert curve[-1] < curve[0] - 0.3  # claim: predictions get better ...
assert end["rankme"] > 6 and end["std"] > 0.7 / 8  # ... and the pictures stay apart
display(Markdown(f"Loss {curve[0]:.2f} → {curve[-1]:.2f}, std {start['std']:.3f} → {end['std']:.3f}, "
                 f"RankMe {start['rankme']:.1f} → {end['rankme']:.1f}."))

# %% [markdown]
# It only pulls, and it does not collapse. RankMe falls: the pictures lie in fewer directions than those of a random network. But it
# stays far from 1, and std stays near 1/8. Section 4 looks for the reason.
#
# (Why `settled`? A batch norm knows the usual size of its inputs only after it has seen some batches. Without that, even a
# random network looks half collapsed. Compare like with like.)
#
# ### Exercise 08b (10 minutes)
#
# The line with `loss` is the whole method. Write it yourself, without `losses`. The *value* of this loss is easy; what
# you must get right is where the gradient flows.

# %%
def simsiam_loss(p1, p2, z1, z2):
    """SimSiam's loss: predictions p1, p2 and projections z1, z2 of two views, all (N, D): one number,
    from -1 to 1."""
    return None  # your lines here


# %%
check("08b", simsiam_loss)

# %% [markdown]
# ## 4. The switchboard (14 minutes)
#
# SimSiam has two guards, BYOL has them too and a teacher besides. The package lets you switch them off:
#
# * `stop_gradient=False`: the target moves towards the prediction. In BYOL this means that the student is its own
#   teacher.
# * `predictor=False`: projections are compared directly.
#
# The teacher is switched off already: SimSiam is, but for details, a BYOL without a teacher.
#
# **Predict before you run.** Six runs: each method complete, without the stop-gradient, and without the predictor.
# Which run will have the *lowest* loss? Which will collapse?

# %%
my_prediction = None

# %%
def train(method, seed=0, **options):
    method = method(new_encoder(seed), head=(128, 64), policies=[view, view], **options)
    settings = {"steps": 100, "batch_size": 128, "marks": 5, "probe": 250, "precision": "float32"}
    return sslkit.pretrain(method, data, seed=seed, **settings)


SWITCHES = {
    "complete": {},
    "no stop-gradient": {"stop_gradient": False},
    "no predictor": {"predictor": False},
}
runs = {
    (method.__name__, name): train(method, **switch)
    for method in (methods.SimSiam, methods.BYOL)
    for name, switch in SWITCHES.items()
}

# %% [markdown]
# BYOL writes its loss in another way (squared distances, both directions added). We turn it into the mean negative
# cosine. Then all six can be compared. std and RankMe are measured on the projection z, which the loss sees, and RankMe
# also on the representation h, which one keeps.

# %%
def final_loss(method, run):
    mean = sum(run.history.column("loss")[1][-10:]) / 10  # of the last ten steps
    return mean / 4 - 1 if method == "BYOL" else mean


at_z, at_h, lowest = {}, {}, {}
for key, run in runs.items():
    at_z[key] = evaluation.collapse(projections(run.encoder, run.method.head))
    at_h[key] = evaluation.collapse(evaluation.features(run.encoder, data.test))
    lowest[key] = final_loss(key[0], run)

lines = ["| | | loss | std of z | RankMe of z | RankMe of h |", "|---|---|---:|---:|---:|---:|"]
for key in runs:
    numbers = f"{lowest[key]:.2f} | {at_z[key]['std']:.3f} | {at_z[key]['rankme']:.1f}"
    lines.append(f"| {key[0]} | {key[1]} | {numbers} | {at_h[key]['rankme']:.1f} |")
display(Markdown("\n".join(lines)))

# %%
def left(key, name):
    """How much of std or RankMe a run has left, compared with the complete method."""
    return at_z[key][name] / at_z[key[0], "complete"][name]


for key in runs:
    if key[1] != "complete":
        assert lowest[key] < lowest[key[0], "complete"] - 0.04  # claim: the loss is *better* ...
        assert min(left(key, "std"), left(key, "rankme")) < 0.5  # ... and z has collapsed
assert at_z["BYOL", "no stop-gradient"]["std"] < 0.02  # claim: here to a point
assert at_z["SimSiam", "no predictor"]["std"] > 0.1  # claim: here std does not see it

# %%
plots.collapse({name: at_z["SimSiam", name] for name in SWITCHES})

# %% [markdown]
# Read four things from this table.
#
# * **The better loss belongs to the worse run.** Whoever chooses the run with the lowest loss chooses a collapse.
# * **Both guards are needed** (one seed, 100 steps). Take one away, and std or RankMe of z falls to less than half. (The
#   words of the caption come from fixed limits. Compare the numbers with those of the complete run.)
# * **No single number is enough.** The last layer of SimSiam's head is a batch norm, which keeps every coordinate
#   spread out. Without a predictor the pictures cannot become one *point*. They come near one *line*. std stays high,
#   and only RankMe sees it. But RankMe does not ask how *far* apart the pictures are. In BYOL without the stop-gradient
#   std is nearly 0, while RankMe still counts more than two directions.
# * **BYOL without a predictor** has lost less than BYOL without the stop-gradient. One possible reason: its target is a
#   slow teacher.
#
# Now look at h. Without a *predictor* h has lost little: it is mostly the head that collapses. Without the
# *stop-gradient* h has lost about half of its directions, so the encoder collapses, too. What happens with more steps?
# That is an experiment for you.
#
# ### Why? (8 minutes)
#
# Take away the predictor, and ask what the stop-gradient still does. Compute both gradients.
#
# **Predict before you run.** There is no predictor, so p = z. How does the gradient with the stop-gradient differ from
# the one without?

# %%
my_prediction = None

# %%
z1, z2 = (z.requires_grad_() for z in torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0)))
(stopped,) = torch.autograd.grad((D(z1, z2.detach()) + D(z2, z1.detach())) / 2, z1)
(flowing,) = torch.autograd.grad((D(z1, z2) + D(z2, z1)) / 2, z1)
assert torch.allclose(flowing, 2 * stopped)  # claim: the same direction, and twice as long

# %%
linear = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))  # a predictor
p1, p2 = z1 @ linear, z2 @ linear
(stopped,) = torch.autograd.grad((D(p1, z2.detach()) + D(p2, z1.detach())) / 2, z1, retain_graph=True)
(flowing,) = torch.autograd.grad((D(p1, z2) + D(p2, z1)) / 2, z1)
cosine = nn.functional.cosine_similarity(stopped.flatten(), flowing.flatten(), dim=0).item()
assert abs(cosine) < 0.95  # claim: with a predictor, the two directions differ
display(Markdown(f"With a predictor the cosine of the two gradients is {cosine:.2f}."))

# %% [markdown]
# Without a predictor, the stop-gradient only halves the gradient. (The optimiser Adam does not care about its length.)
# So alone it guards nothing. It takes *both*: a predictor, and a target that stands still meanwhile.
#
# What do they do together? One picture of it: the predictor learns what can be said of the other view *on average*. The
# encoder then learns to make its views agree with this average, and takes turns with the predictor, as k-means takes
# turns between centres and members. The authors of SimSiam propose this as a hypothesis. Others have worked out small
# models in which one can prove that the collapsed solution is unstable. It is fair to say that the guards are known and
# that the last word on the reason is not spoken. The loss still *has* collapsed solutions. The training does not go
# there.
#
# So be careful with a sentence that you may read: "stop-gradient prevents collapse". Here it does together with the predictor,
# with these norms and these rates. Try `nets.small_resnet(widths=(16, 32), norm="group")` in `new_encoder`, and `norm="group"` in `train`:
# then no picture of the batch knows of any other. Look at std and RankMe. (The authors of SimSiam found no evidence that
# batch norm prevents the collapse.)
#
# ## 5. MoCo: a queue (5 minutes)
#
# MoCo ("momentum contrast") keeps the negatives, and asks for *more* of them than a batch has. It puts the embeddings
# of earlier batches, the **keys**, into a queue: the newest go in, the oldest drop out. A key costs nothing to keep.
# But old keys were made by an older network, and negatives of different networks cannot be compared. Here the slow
# teacher comes in: the *teacher* makes the keys, so that those of many steps come from almost the same network. The
# queue by hand:

# %%
queue, packaged = torch.zeros(0, 3), nets.Queue(10, 3)
for batch in range(4):
    keys = torch.randn(4, 3, generator=torch.Generator().manual_seed(batch))
    queue = torch.cat([queue, nn.functional.normalize(keys, dim=1)])[-10:]  # the ten newest stay
    packaged.put(keys)
assert torch.allclose(queue.sort(0).values, packaged.rows.sort(0).values)  # claim: the same ten keys

marks = {size: losses.info_nce_references(size, temperature=0.2)["collapsed"] for size in (256, 4096)}
said = ", ".join(f"{value:.2f} with {size} keys" for size, value in marks.items())
display(Markdown(f"Collapsed value of the loss: {said}."))

# %% [markdown]
# The loss is that of notebook 03: find your partner among all others. It has a thermometer, too: ln(1 + K) for K keys.
# So the size of the batch no longer decides how many negatives there are.
#
# ## 6. SwAV: codes that must be even (12 minutes)
#
# Two more methods, from another family: *clustering*. Let there be K **prototypes**, learned directions. A view gets a
# **score** for each of them, its cosine. From the scores of one view we make a **code**: to which prototypes does this
# picture belong? The other view must predict the code.
#
# This can collapse as well: if all pictures belong to prototype 0, the code is easy to predict and says nothing. SwAV
# works against it directly: in each batch the code is pushed towards **equal shares of the pictures for all prototypes**.
# The *Sinkhorn* algorithm does it by taking turns:

# %%
def loop_sinkhorn(scores, epsilon=0.05, iterations=3):
    Q = torch.exp(scores / epsilon)  # (B, K)
    for _ in range(iterations):
        Q = Q / Q.sum(dim=0, keepdim=True)  # every prototype gets as much as every other
        Q = Q / Q.sum(dim=1, keepdim=True)  # every picture gives 1
    return Q


generator = torch.Generator().manual_seed(0)
scores = 0.1 * torch.randn(128, 4, generator=generator)  # 128 pictures, 4 prototypes
scores[:, 0] += 0.4  # and everybody likes number 0 best
assert torch.allclose(loop_sinkhorn(scores), losses.sinkhorn(scores), atol=1e-5)  # claim: the package's

# %% [markdown]
# **Predict before you run.** Which share of the pictures goes to prototype 0, if everybody may choose (a softmax)? Are
# the shares *exactly* equal after three turns of Sinkhorn? And which pictures have to leave number 0?

# %%
my_prediction = None

# %%
free = (scores / 0.05).softmax(dim=1)
even = losses.sinkhorn(scores)
ways = {"free choice": free, "Sinkhorn": even, "Sinkhorn, 50 turns": losses.sinkhorn(scores, iterations=50)}
lines = ["| share of prototype | 0 | 1 | 2 | 3 |", "|---|---:|---:|---:|---:|"]
for name, code in ways.items():
    lines.append(f"| {name} | {' | '.join(f'{share:.2f}' for share in code.mean(0))} |")
assert free.mean(0).max() > 0.9  # claim: by free choice nearly all take number 0
assert even.mean(0).max() < 0.4  # claim: three turns make it roughly even
assert torch.allclose(ways["Sinkhorn, 50 turns"].mean(0), torch.tensor(0.25), atol=0.01)
display(Markdown("\n".join(lines)))

# %% [markdown]
# Who goes where? Those who like number 0 *less than others do* have to leave. What counts is no longer how much you
# like a prototype, but whether you like it more than the rest of the batch. This is a comparison of different pictures.
# So SwAV has no negatives, but the pictures of a batch do meet, in the columns. (`losses.sinkhorn` works with
# logarithms: at a small epsilon the loop overflows, as in notebook 03.)
#
# ## 7. DINO: a centre and a sharp teacher (10 minutes)
#
# DINO has a teacher and no Sinkhorn. The teacher's scores of K outputs become probabilities by a softmax, and the
# student predicts them. Two simple things are done to the teacher's scores before the softmax:
#
# * the **centre**, a running mean of the teacher's own scores, is subtracted.
# * they are divided by a low temperature. This is called **sharpening**.
#
# We measure with the *entropy*, and turn it into a number of outputs: $e^{\text{entropy}}$ is 1 if one output has
# everything, and K if all are equal.
#
# **Predict before you run.** K = 64 outputs. How many are in use with both? Without the centre? Without the sharpening
# (the teacher's temperature as high as the student's)?

# %%
my_prediction = None

# %%
GUARDS = {"both": {}, "no centre": {"centre": False}, "no sharpening": {"teacher_temperature": 0.1}}
dino = {name: train(methods.DINO, n_prototypes=64, **option) for name, option in GUARDS.items()}


def outputs(probabilities):
    """How many of the outputs are in use: e to the entropy. (..., K) -> (...)"""
    return torch.exp(-torch.xlogy(probabilities, probabilities).sum(-1))


@torch.no_grad()
def teacher_says(run):
    scores = run.method.teacher(augment.to_float(data.test.images))
    return ((scores - run.method.centre) / run.method.temperatures["teacher_temperature"]).softmax(dim=1)


# %%
used = {}
lines = ["| DINO | loss | outputs of one picture | of all pictures | ratio |", "|---|---:|---:|---:|---:|"]
for name, run in dino.items():
    said = teacher_says(run)
    each, together = outputs(said).log().mean().exp().item(), outputs(said.mean(0)).item()
    used[name] = (each, together)
    last = run.history.column("loss")[1][-1]
    lines.append(f"| {name} | {last:.2f} | {each:.1f} | {together:.1f} | {together / each:.2f} |")
assert used["no centre"][1] < 10  # claim: without the centre a few outputs win always
assert used["no sharpening"][0] > 50  # claim: without sharpening all outputs are alike
each, together = used["both"]
assert each < together - 5  # claim: with both, pictures differ in the outputs that they use
display(Markdown("\n".join(lines)))

# %% [markdown]
# The last column says how much an answer tells about its picture. At 1, all pictures get the same answer, and the
# teacher says nothing. With both guards the answers already tell pictures apart. Without sharpening they hardly do:
# no output wins for anybody. Without the centre a few outputs have nearly everything, so the answers can tell only a few
# groups of pictures. Each part alone ends in a collapse, and the two collapses are opposite. Again the lowest
# loss, by far, belongs to a collapsed run: the one without the centre.
#
# ## 8. All together (7 minutes)
#
# Now all methods of this notebook, each complete, beside SimCLR with its negatives and beside the encoder before any
# training. The same encoder, the same views, the same 100 steps of 128 pictures. The kNN uses the test pictures here.
# It asks the 20 nearest training pictures for the shape; chance is 1/8.
#
# **Predict before you run.** Which method is best after 100 steps? Are all of them better than the random encoder?

# %%
my_prediction = None

# %%
finished = {
    "SimCLR": train(methods.SimCLR),
    "MoCo": train(methods.MoCo, queue_size=1024),
    "BYOL": runs["BYOL", "complete"],
    "SimSiam": runs["SimSiam", "complete"],
    "SwAV": train(methods.SwAV, n_prototypes=64),
    "DINO": dino["both"],
}

# %%
def judge(encoder):
    known, new = (evaluation.features(encoder, part) for part in (data.train, data.test))
    return evaluation.knn(known, data.train.labels, new, data.test.labels)


untrained = methods.SimCLR(new_encoder(0), head=(128, 64), policies=[view, view])
settled(nn.Sequential(untrained.encoder, untrained.head))
everybody = {name: run.method for name, run in finished.items()} | {"random encoder": untrained}
score = {name: judge(method.encoder) for name, method in everybody.items()}
at_z = {name: evaluation.collapse(projections(method.encoder, method.head)) for name, method in everybody.items()}
lines = ["| | kNN | 95 % interval | std of z | RankMe of z |", "|---|---:|---:|---:|---:|"]
for name, found in score.items():
    z = at_z[name]
    numbers = f"{found.value:.3f} | {found.low:.3f} to {found.high:.3f} | {z['std']:.3f} | {z['rankme']:.1f}"
    lines.append(f"| {name} | {numbers} |")
display(Markdown("\n".join(lines)))

# %%
figure = plots.compare({name: {"kNN": found} for name, found in score.items()}, chance=1 / 8)
figure.axes[0].set_xlim(0, 0.4)
values = ", ".join(f"{name} {found.value:.2f}" for name, found in score.items())
figure.caption = f"kNN on the test pictures; bars are 95 % intervals, the dashed line is chance. {values}."
figure.alt = f"Seven values with their intervals: {values}."
figure

# %%
value = {name: found.value for name, found in score.items()}
assert score["SimCLR"].low > score["random encoder"].high  # claim: SimCLR is better than no training
# Claim: no complete method has collapsed, neither to a point nor to a line
assert min(z["std"] for z in at_z.values()) > 0.4 / 8 and min(z["rankme"] for z in at_z.values()) > 6
best = max(value, key=value.get)
display(Markdown(f"Best here: {best}. You wrote: {my_prediction or 'nothing yet'}."))

# %% [markdown]
# Be honest with this table.
#
# * **SimCLR is clearly above the random encoder.** Some of the others are just above the interval of the random encoder, some overlap with
#   it: look which. Where two intervals overlap, this table has not shown that a method learned anything. (All took the same pictures, so the interval of the
#   *difference* would tell more, see notebook 06.) In later papers these methods equal or beat SimCLR (MoCo from version 2 on, arXiv
#   2003.04297), after a training that is many thousand times as long. A teacher whose memory is as long as the whole training has
#   no time to become a good one, and so it is here: its momentum begins with a memory of as many steps as there are (section 2).
# * It is one seed. Where two intervals overlap, this table does not say who is better. Notebook 11 compares all methods
#   with several seeds.
# * std and RankMe of z say that nobody collapsed. They do not say who is best: sort the rows by RankMe, and then by kNN, and look where
#   the random encoder stands.
#
# What is gained, then? Methods without negatives do not push away pictures that show the same thing (notebook 03,
# section 5). And they need no large batch to have many negatives.
#
# ## What to remember
#
# * The loss of SimSiam and BYOL is lowest at success *and* at collapse. Look at std and RankMe of z; std alone can be
#   deceived by a norm.
# * The guards: a predictor together with a stop-gradient (SimSiam, BYOL), even codes (SwAV), a centre together with a
#   sharp teacher (DINO). In BYOL the teacher alone does not
#   prevent the collapse: with the teacher and without the predictor, z has lost most of its spread.
# * A momentum m is a memory of 1 / (1 - m) steps. It must fit the length of the training.
#
# **Further reading.** BYOL, arXiv 2006.07733. SimSiam, arXiv 2011.10566 (its hypothesis is in section 5). SwAV, arXiv
# 2006.09882. DINO, arXiv 2104.14294. MoCo, arXiv 1911.05722. "BYOL works even without batch statistics", arXiv
# 2010.10241. A small model of why it does not collapse: "Understanding self-supervised learning dynamics without
# contrastive pairs", arXiv 2102.06810.
#
# **Next: 09 · What views teach.** You know many losses. But what is learned depends on the views. Which factors
# survive?
