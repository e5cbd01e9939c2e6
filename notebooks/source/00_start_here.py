# %% [markdown]
# # 00 · Start here
#
# **The question: can a machine learn to see without labels?**
#
# A *label* is a word that a person has written beside a picture: "this is a star". Most pictures in the world have none.
# In this notebook a network looks at pictures without labels. Then you find out what it has learned.
#
# Afterwards you can
#
# - train a network on pictures, without labels, in one line;
# - draw a map of what it has learned, and find the nearest neighbours of a picture;
# - say whether the result is better than nothing.
#
# 55 minutes, of which your computer works for one to three. It runs on two CPU cores and needs no network.
# Run one cell after the other (Shift + Enter).
#
# Four habits of the code in all notebooks: `# try:` marks a number that you may change. An `assert` with the word *claim* tests what the text
# says: if it is not true on your computer, the cell stops there. `# NBVAL_CHECK_OUTPUT` is for our own tests; ignore it. And a *seed* is the
# number from which random numbers start: the same seed gives the same run.

# %%
import torch
from IPython.display import Markdown, display

import sslkit
from sslkit import augment, evaluation, plots, widgets
from sslkit.exercises import check, find

# %% [markdown]
# If the next cell prints a line, everything that you need is installed.

# %%
print(f"sslkit {sslkit.__version__} is ready and computes on: {sslkit.device.best_device()}")

# %% [markdown]
# ## 1. Pictures, and the idea in one figure (5 minutes)
#
# The pictures are called `shapes`. They are generated, so we know everything about them: which shape, which colour, how
# large, where.

# %%
# NBVAL_CHECK_OUTPUT
data = sslkit.datasets.load("shapes")
print(data)
print("classes:", ", ".join(data.names))

# %% [markdown]
# The pictures come in three parts. The network learns from the *training* part. Choices are made with the *validation*
# part. The *test* part is for the final exam, and it is used for nothing else.
#
# Now the idea. Take a picture, and make two random changes of it: cut out a piece, mirror it, change its colours. Such
# a changed picture is called a **view**. You see at once that two views show the same thing, although hardly one pixel
# is equal. The network must learn to see it too. Nobody has to label anything for this.

# %%
pictures = data.train.images[:6]
policy = sslkit.recipes.views_for(data)  # how much a view of these pictures may differ
generator = torch.Generator().manual_seed(0)  # try: another number gives other views
plots.views_grid(pictures, augment.views(pictures, [policy] * 5, generator))

# %% [markdown]
# The task of the network: *here are the views of many pictures; which two were made from the same picture?* The method
# that asks this question is called SimCLR. To answer it, the network has to describe each view by numbers which do not
# change when the view changes. Such numbers should also be good for other things. Are they?
#
# ## 2. Predict before you run (3 minutes)
#
# There are eight kinds of shapes. Somebody who guesses is right in one of eight test pictures: this is *chance*.
#
# A network that never saw a label describes all pictures by numbers. For a test picture we look up which training
# pictures have the most similar numbers, and let them vote. In how many of 100 test pictures is the vote right?

# %%
my_prediction = None  # your number, from 0 to 100

# %% [markdown]
# ## 3. From pictures to a map (8 minutes)
#
# One line trains the network. We have run exactly this line before, and its result is stored in the folder
# `runs/simclr_shapes`, so it is only read. To train it yourself, delete this folder and run the cell again.

# %%
run = sslkit.pretrain(
    "simclr", data, steps=600, seed=0, precision="float32", probe=500, resume="runs/simclr_shapes"
)
run

# %%
display(Markdown(f"The training took {run.history.seconds / 60:.1f} minutes. In this time the network saw "
                 f"{run.history.step * run.config.batch_size * 2:,} views, and not a single label."))

# %% [markdown]
# What remains after training is the **encoder**: a function from a picture to a list of numbers. This list is called the
# **representation** of the picture, or its *embedding*, or its *features*.

# %%
# NBVAL_CHECK_OUTPUT
h = run.embed(data.test)
print("pictures", tuple(data.test.images.shape), "-> representations", tuple(h.shape))

# %% [markdown]
# Nobody can look at a space of so many dimensions. A *map* squeezes it into two: pictures with similar representations
# should be neighbours on the map. The next cell opens the *explorer*. It starts with a simple map, the principal
# components. After some seconds a better one, made by t-SNE, is ready, and the points move there.

# %%
explorer = run.explore()
explorer

# %% [markdown]
# Point at a picture: lines lead to its true nearest neighbours in the representation. On an honest map they are short.
# Click to select a picture, or press *Lasso* and draw around some. `explorer.selected` has their numbers.
#
# This is the same map as a figure, for those who read without running:

# %%
explorer.plot()

# %% [markdown]
# Look at the map for a minute. The colours show the true shape. Neither the encoder nor the map knew it.
#
# - Which shapes lie apart? Which ones are mixed? Do you understand why?
# - Go to an island that you find odd. What do its pictures have in common?
#
# Be careful: a map always loses something, and sometimes it shows what is not there. Notebook 05 is about that. For an
# answer to our question we need a number.
#
# ## 4. The nearest neighbours (10 minutes)
#
# Two representations are similar if they point in the same direction. The *cosine* of the angle between them says how
# much: 1 is the same direction, 0 is a right angle, -1 is the opposite.

# %%
def cosine(a, b):
    return (a @ b) / (a.norm() * b.norm())


def vote_of_the_nearest(query, known, known_labels):
    """The label of the known picture that is most similar to the query."""
    similarities = [cosine(query, one) for one in known]
    return known_labels[similarities.index(max(similarities))]

# %%
known, known_labels = run.features["this encoder"]["train"][:500], data.train.labels[:500]
queries, query_labels = h[:40], data.test.labels[:40]
answers = torch.stack([vote_of_the_nearest(query, known, known_labels) for query in queries])
naive = (answers == query_labels).float().mean().item()

# %% [markdown]
# The package has the same thing, without the slow loop: `evaluation.knn`, *k nearest neighbours*. With `k=1` only the
# nearest one votes. So both must agree.

# %%
same = evaluation.knn(known, known_labels, queries, query_labels, k=1)
assert abs(naive - same.value) < 0.03  # Claim: our loop and the package agree.
print("The loop and the package agree.")

# %% [markdown]
# Here are some test pictures, and the training pictures that the encoder finds most similar. A cross marks a neighbour
# which shows another shape.

# %%
chosen = torch.tensor([0, 250, 500, 750, 1000, 1250])  # try: other numbers below 2000
directions = torch.nn.functional.normalize(run.features["this encoder"]["train"], dim=1)
found = (torch.nn.functional.normalize(h[chosen], dim=1) @ directions.T).topk(7).indices
right = data.train.labels[found] == data.test.labels[chosen][:, None]
plots.neighbours(data.test.images[chosen], data.train.images[found], right)

# %% [markdown]
# What do the neighbours of one picture share, and what not? Look at the shape, the place, the size, the colour of the
# shape and the colour of the ground. Compare with the views in section 1: what differs between two views of one picture
# is what the encoder was asked to ignore.

# %% [markdown]
# ## 5. Is it better than nothing? (8 minutes)
#
# Now the exam. All training pictures are known, the 20 nearest of them vote, and all test pictures are asked. A number
# means nothing alone. So the same exam is taken by four **baselines**, which need no training at all:
#
# - *random encoder*: the same network before its first training step. Its weights are random numbers;
# - *raw pixels*: the picture itself, as one long list of numbers;
# - *PCA*: these pixels, reduced to the 64 directions in which they differ most;
# - *chance*: guessing.
#
# The second exam is harder. Only ten pictures of each shape have a label, and a *linear classifier* learns from them.
# Notebook 01 explains it.
#
# **Predict before you run.** The first baseline is the same network, and it has seen nothing. In how many of 100 test
# pictures is its vote right? Record a number in the card, with a range that you trust. Then it lets you run, and asks why.

# %%
train_y, test_y = data.train.labels, data.test.labels


def vote_of_the_untrained():
    x = run.features["random encoder"]
    return 100 * evaluation.knn(x["train"], train_y, x["test"], test_y).value


question = "The vote of the neighbours, seen by a network before its first training step: how often is it right?"
widgets.Predict(question, vote_of_the_untrained, unit="right of 100")

# %%
scores = {}
for name, x in run.features.items():
    few = evaluation.few_label(x["train"], train_y, x["test"], test_y, budgets=(10,), draws=3)
    vote = evaluation.knn(x["train"], train_y, x["test"], test_y)
    scores[name] = {"kNN": vote, "10 labels per class": few[10]}
plots.compare(scores, chance=1 / 8)

# %%
result = scores["this encoder"]["kNN"].value
for exam in ("kNN", "10 labels per class"):
    for baseline in ("random encoder", "raw pixels", "PCA"):
        # Claim: learning without labels beats everything that needs no learning.
        assert scores["this encoder"][exam].value > scores[baseline][exam].value + 0.05
display(Markdown(f"The vote of the neighbours is right in **{100 * result:.0f} of 100** test pictures. "
                 f"Your prediction: {my_prediction or 'none yet'}."))

# %% [markdown]
# The lines beside the dots are 95 % intervals: they say how much the result would change with other test pictures. They
# do not say how much it would change with another training run. For this you train several times, with several seeds.
#
# Look at the baselines once more, in the first exam. A network with *random* weights is better than chance, and raw
# pixels are better than this network: some training picture is often quite similar, pixel by pixel.

# %%
untrained, raw = scores["random encoder"]["kNN"], scores["raw pixels"]["kNN"]
assert untrained.low > 1 / 8  # Claim: without any training, a network is better than chance.
assert raw.value > untrained.value  # Claim: and raw pixels are better than this network.

# %% [markdown]
# So a result of which you do not know the baselines tells you little. `run.evaluate()` makes the full table with more
# exams. It takes longer.
#
# ## 6. Two exercises (10 minutes)
#
# **00a.** How much did learning add? This is one line of code, and it is often done wrong.

# %%
def gain(score, baselines):
    """How far `score` is above the best of the baselines, a dictionary of name -> accuracy;
    negative if it is below."""
    return None  # your line here

# %%
# NBVAL_CHECK_OUTPUT
print(find("00a").prompt)
check("00a", gain)

# %% [markdown]
# **00b.** In section 4 we searched for test pictures among training pictures. Now search inside one set: for every
# picture the most similar *other* picture.

# %%
def nearest(features):
    """For each row of `features` (N, D), the index (N,) of the other row with the largest cosine similarity."""
    return None  # your lines here

# %%
# NBVAL_CHECK_OUTPUT
print(find("00b").prompt)
check("00b", nearest)

# %% [markdown]
# ## 7. Train it yourself (8 minutes)
#
# A few minutes are long in a lesson. So you train a narrower network, which is fast, for a few seconds.
#
# **Predict before you run.** After these seconds, is the network already better than the same network without
# training? Is it already better than raw pixels?

# %%
my_second_prediction = None  # for example "better than random, not better than pixels"

# %%
torch.manual_seed(0)
narrow = sslkit.nets.small_resnet(widths=(16, 32, 64))
live = sslkit.pretrain(
    "simclr", data, seed=0, precision="float32", probe=300, encoder=narrow,
    steps=100,  # try: 30, 300
)
plots.loss_curve(live.history.rows, live.method.reference_values(live.config.batch_size))

# %% [markdown]
# The *loss* says how badly the network solves its own task: finding the views that belong together. It starts near the
# line "collapsed", the loss of a network that gives the same answer to every picture. Notebook 03 explains the lines.
#
# But a low loss is not what we want. We want to *see*. So look at the curve below it, "online kNN". From time to time the
# training stops, and some validation pictures take the exam. The labels are used for this measurement only. Nothing is
# learned from them. (To be quick, only a few hundred pictures may vote. So these numbers are lower than in the real exam,
# where all training pictures vote. RankMe, at the bottom, is the topic of a later notebook.)

# %%
def take_exam(encoder):
    known, asked = evaluation.features(encoder, data.train), evaluation.features(encoder, data.test)
    return evaluation.knn(known, train_y, asked, test_y)


kinds = {"trained just now": take_exam(live.encoder), "the same, untrained": take_exam(live.untrained)}
kinds |= {"raw pixels": raw, "the stored run": scores["this encoder"]["kNN"]}
plots.compare({name: {"kNN": score} for name, score in kinds.items()}, chance=1 / 8)

# %%
before, after = kinds["the same, untrained"].value, kinds["trained just now"].value
# Claim: already a short training without labels makes the network see better.
assert after > before + 0.05
display(Markdown(f"{live.history.seconds:.0f} seconds of training moved it from {before:.2f} to {after:.2f}; "
                 f"raw pixels have {raw.value:.2f}. You wrote: {my_second_prediction or 'nothing yet'}."))

# %% [markdown]
# Better than untrained: yes. Better than raw pixels? Look at their two intervals in the figure. Where they overlap, this exam does not
# say which is better. The stored run, which was trained for longer, leaves no doubt.
#
# So the answer to the question of this notebook is *yes, on these pictures*, with two remarks that the course takes
# seriously. First, the views decide what the network may ignore, so they decide what it can see (notebook 02). Second,
# look at all the baselines. Beside its untrained self alone, even a network that was trained for seconds looks great.
#
# ## 8. Where to go next (3 minutes)
#
# | notebook | the question it answers |
# |---|---|
# | 01 | What is a representation, and who pays for labels? |
# | 02 | What should not matter? (views) |
# | 03 | Why does pulling together alone fail? (the loss) |
# | 04 | What happens while it trains? |
# | 05 | What can a map tell, and what not? |
# | 06 | How good is it, honestly? |
#
# Do you want to try your own pictures now? Put them into a folder: five hundred or more. Then:
#
# ```python
# data = sslkit.datasets.folder("my_pictures")
# run = sslkit.pretrain("simclr", data, minutes=3)
# run.report("runs/mine")   # a page that you can open in your browser
# ```
#
# Without Python: `make run DATA=my_pictures` in a terminal does the same.
#
# ## What to remember
#
# - A network can learn to see from pictures alone: it learns which views come from the same picture.
# - What remains is the encoder. It turns a picture into a representation, and similar pictures get similar ones.
# - A result means something beside its baselines: the untrained network, raw pixels, PCA and chance.
#
# ## Further reading
#
# - SimCLR, the method of this notebook: Chen and others, 2020,
#   [arXiv 2002.05709](https://arxiv.org/abs/2002.05709).
# - Every picture its own class, and the vote of the neighbours as an exam: Wu and others, 2018,
#   [arXiv 1805.01978](https://arxiv.org/abs/1805.01978).
#
# **Next: 01, what a representation is, and who pays for labels.**
