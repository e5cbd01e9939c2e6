# %% [markdown]
# # 01 · Why self-supervision
#
# **The question: what is a representation, and who pays for labels?**
#
# Afterwards you can
#
# - say what makes one representation of a picture better than another, and measure it;
# - draw a *label cost curve* and read from it what labels would cost you;
# - name the parts of self-supervised learning and its two steps, and run both: pretrain, then fine-tune;
# - tell the history of the field, with some common errors corrected.
#
# 60 minutes, of which your computer works for less than one. It runs on two CPU cores and needs no network.

# %%
import dataclasses

import torch
from IPython.display import Markdown, display

import sslkit
from sslkit import augment, evaluation, plots, widgets
from sslkit.exercises import check, find
from sslkit.fine_tune import fine_tune

print("sslkit", sslkit.__version__)

# %% [markdown]
# The encoder of notebook 00, read from its folder. (Delete `runs/simclr_shapes` to train it yourself: it takes some
# minutes.)

# %%
data = sslkit.datasets.load("shapes")
run = sslkit.pretrain(
    "simclr", data, steps=600, seed=0, precision="float32", probe=500, resume="runs/simclr_shapes"
)
run

# %% [markdown]
# ## 1. What is a representation? (10 minutes)
#
# A **representation** is a description of a picture by numbers. The pixels are one already: three numbers for each
# point. A network makes another one. Which is better?
#
# Both describe the same picture. So the question is not how much is in there, but **how easily one can read from it what
# one wants to know**. "Easily" needs a definition, and the usual one is *linear*: what you want to know is a weighted
# sum of the numbers. Finding the best weights from examples is called a **linear probe**.
#
# Here are three representations of the same pictures.

# %%
train, test = data.train[:2000], data.test  # 2,000 training pictures are enough for this lesson
seen = {
    "pretrained encoder": [evaluation.features(run.encoder, part) for part in (train, test)],
    "random encoder": [evaluation.features(run.untrained, part) for part in (train, test)],
    "raw pixels": [augment.to_float(part.images).flatten(1) for part in (train, test)],
}
for name, (x, _) in seen.items():
    print(f"{name}: {x.shape[1]:,} numbers for a picture")

# %% [markdown]
# **Predict before you run.** The pictures of `shapes` were generated, so we know for each one its shape, the colour of
# the shape (its *hue*), its size, and where it is (*x* goes from left to right). Which of the three representations is the best to read the hue from?
# And which is the best for the shape?

# %%
# "pretrained encoder", "random encoder" or "raw pixels"
my_prediction = {"hue": None, "shape": None}

# %% [markdown]
# First by hand. Hue is a circle: red, yellow, green, blue, and red again. So it is given as a point on a circle, two
# numbers. We find the weights by least squares, on the training pictures. Then we ask on the test pictures which share of
# the differences is explained. This share is called **R²**: 1 is perfect, 0 is what you get without looking.

# %%
def read_linearly(x, y, test_x, test_y, decay=0.001):
    """R² on the test pictures; the weights are fitted on the training pictures (ridge regression)."""
    mean, scale, middle = x.mean(0), x.std(0) + 1e-6, y.mean(0)
    z = (x - mean) / scale
    penalty = decay * len(z) * torch.eye(z.shape[1])  # holds large weights back
    weights = torch.linalg.solve(z.T @ z + penalty, z.T @ (y - middle))
    error = test_y - (test_x - mean) / scale @ weights - middle
    return 1 - (error.square().sum() / (test_y - test_y.mean(0)).square().sum()).item()

# %% [markdown]
# The package does the same, for several factors at once. It also tries several values of `decay`, and keeps the one that
# works best on pictures which it has put aside for this choice.

# %%
asked = ("shape", "hue", "size", "x")
factors = [{name: part.factors[name] for name in asked} for part in (train, test)]
read = {name: evaluation.factors(x, factors[0], test_x, factors[1]) for name, (x, test_x) in seen.items()}
plots.factors(read)

# %%
x, test_x = seen["random encoder"]
by_hand = read_linearly(x, train.factors["hue"], test_x, test.factors["hue"])
# Claim: our probe and the package's agree.
assert abs(by_hand - read["random encoder"]["hue"].value) < 0.05

# %%
pixels, learned, untrained = read["raw pixels"], read["pretrained encoder"], read["random encoder"]
# Claim: training has made the shape easier to read, and the hue harder.
assert pixels["hue"].value > learned["hue"].value + 0.2
assert learned["hue"].value < untrained["hue"].value / 2
assert learned["shape"].value > pixels["shape"].value + 0.2
for factor, guess in my_prediction.items():
    best = max(read, key=lambda name: read[name][factor].value)
    display(Markdown(f"Best for the {factor}: **{best}**. You wrote: {guess or 'nothing yet'}."))

# %% [markdown]
# The pixels contain *everything*: the shape is in there, you can see it. But no weighted sum of pixels says "star". The
# encoder has made the shape easier to read, and it has paid for this: much of the hue is lost. It was trained with views
# that change the colours, so it learned that colour does not matter.
#
# So no representation is good in itself. It is good *for a purpose*. A **representation is a decision about what to keep
# easy to read and what to make hard to read.**
#
# ## 2. Who pays for labels? (12 minutes)
#
# A person who writes labels needs time, and somebody pays for it: the crowd worker who is paid little, the doctor
# who looks at X-rays instead of patients, the project that can afford a hundred labels and not a million. Pictures
# without labels are often free.
#
# So we ask: **how well does a linear probe do with few labels?** We draw the *label cost curve*: accuracy against the
# number of labels per class.
#
# **Predict before you run.** With ten labels per class, 80 in all: how many of 100 test pictures does the probe get right
# with the pretrained encoder? Record it in the card, with a range that you trust. And how many labels per class do the raw
# pixels need for the same?

# %%
def right_of_100():
    x, test_x = seen["pretrained encoder"]
    return 100 * evaluation.few_label(x, train.labels, test_x, test.labels, budgets=(10,), draws=3)[10].value


question = "With ten labels per class, how many test pictures does the probe get right?"
widgets.Predict(question, right_of_100, unit="right of 100")

# %%
labels_for_raw_pixels = None

# %% [markdown]
# `evaluation.few_label` draws the labelled pictures several times, because with five labels much depends on luck. The
# interval contains this luck.

# %%
budgets = (1, 5, 10, 50, 200)  # labels per class
curves = {
    name: evaluation.few_label(x, train.labels, test_x, test.labels, budgets=budgets, draws=3)
    for name, (x, test_x) in seen.items()
}
plots.few_label(curves, chance=1 / 8)

# %%
pretrained, pixels = curves["pretrained encoder"], curves["raw pixels"]
gain_shapes = pretrained[10].value - pixels[10].value
assert gain_shapes > 0.1  # Claim: with a pretrained encoder, few labels go further.
# Claim: here, 5 labels per class beat 200 without pretraining.
assert pretrained[5].value > pixels[200].value
display(Markdown(f"With 10 labels per class, the probe on the pretrained encoder is right in "
                 f"{100 * pretrained[10].value:.0f} of 100."))
display(Markdown(f"Raw pixels reach {100 * pixels[200].value:.0f} of 100, even with 200 labels per class. "
                 f"You wrote: {labels_for_raw_pixels or 'nothing yet'}."))

# %% [markdown]
# Now put a price on it. Change the two numbers and run the cell again.

# %%
price = 0.10  # of one label. try: 0.02, 5
wanted = 0.5  # the accuracy that you want. try: 0.3, 0.7

for name, curve in curves.items():
    enough = [n for n, score in curve.items() if score.value >= wanted]
    if enough:
        print(f"{name}: {enough[0]} labels per class, {enough[0] * len(data.names) * price:,.2f} to pay")
    else:
        print(f"{name}: {max(budgets)} labels per class are not enough")

# %% [markdown]
# Is pretraining free? No. It was paid for, too, with pictures, computing time and electricity. But it is paid once, and
# the next question about the same pictures needs only a few new labels again.

# %%
display(Markdown(f"Pretraining here: {len(data.train):,} pictures without labels, and "
                 f"{run.history.seconds / 60:.1f} minutes of computing."))

# %% [markdown]
# ### Does it always pay?
#
# The same three representations, but of other pictures: `fashion`, small grey photographs of clothes. The encoder has
# never seen clothes. It is used as it is.

# %%
clothes = sslkit.datasets.load("fashion")
known, new = clothes.train[:2000], clothes.test
# The encoder wants three channels.
rgb = [part.images.expand(-1, 3, -1, -1) for part in (known, new)]
worn = {
    "pretrained on shapes": [evaluation.features(run.encoder, x) for x in rgb],
    "random encoder": [evaluation.features(run.untrained, x) for x in rgb],
    "raw pixels": [augment.to_float(part.images).flatten(1) for part in (known, new)],
}

# %%
clothes_curves = {
    name: evaluation.few_label(x, known.labels, new_x, new.labels, budgets=(1, 5, 10, 50), draws=3)
    for name, (x, new_x) in worn.items()
}
plots.few_label(clothes_curves, chance=1 / 10)

# %%
ten = {name: curve[10].value for name, curve in clothes_curves.items()}
gain_clothes = ten["pretrained on shapes"] - ten["raw pixels"]
# Claim: on clothes, raw pixels are a strong description ...
assert ten["raw pixels"] > ten["random encoder"]
# ... and pretraining on shapes adds far less than it did on shapes.
assert gain_clothes < gain_shapes - 0.1
display(Markdown(f"With 10 labels per class, pretrained minus raw pixels: {gain_shapes:+.2f} on shapes, "
                 f"{gain_clothes:+.2f} on clothes."))

# %% [markdown]
# The clothes stand upright, in the middle of the picture, and fill it. So two shirts have similar pixels, and raw pixels
# are hard to beat. And the encoder was taught with other pictures. A gain on one data set is no promise for another.
# Whoever shows you a method should also show you where it helps little.
#
# ## 3. A short history, told truthfully (8 minutes)
#
# *Self-supervised* means: the teaching signal is made from the data themselves. This idea is older than its name.
#
# | year | what | teaching signal |
# |---|---|---|
# | 1986 | Rumelhart, Hinton and Williams: a network must reproduce its input through a narrow layer. Bourlard and Kamp analyse it in 1988. Today it is called an *autoencoder* | the input |
# | 1992 | Becker and Hinton: two networks look at neighbouring patches and must *agree* | the other patch |
# | 2008 | Denoising autoencoder (Vincent and others): repair a damaged input | the undamaged input |
# | 2014 | Exemplar-CNN ([1406.6909](https://arxiv.org/abs/1406.6909)): every patch is a class of its own, made of its changed copies | which patch it was |
# | 2015 | Context prediction ([1505.05192](https://arxiv.org/abs/1505.05192)): where did this patch lie beside that one? | the position |
# | 2018 | Rotation ([1803.07728](https://arxiv.org/abs/1803.07728)); CPC ([1807.03748](https://arxiv.org/abs/1807.03748)); instance discrimination ([1805.01978](https://arxiv.org/abs/1805.01978)) | the angle; what comes next; which picture it was |
# | 2020 | SimCLR ([2002.05709](https://arxiv.org/abs/2002.05709)): which two views belong together, among all views of a batch | which picture it was |
#
# This course grew out of an article about self-supervised learning. It is right about much. Some of its sentences are
# imprecise, and you will meet them elsewhere as well:
#
# | the article says | more precisely |
# |---|---|
# | "Unsupervised" is another word for "self-supervised" | Self-supervised learning is one *kind* of unsupervised learning. *k*-means has no teaching signal, and is unsupervised too |
# | It is good for privacy | Nobody has to look at the pictures to label them. But an encoder can betray which pictures it was trained on ([2108.11023](https://arxiv.org/abs/2108.11023)) |
# | With pseudo-labels, one can only learn in the supervised way | Exemplar-CNN does. SimCLR only needs to know which two views belong together |
# | The step without labels is adversarial training (two networks that work against each other, notebook 10) | That is one way among many. In SimCLR no network works against another |
# | The step with labels is "supervised pretraining" | It is called *fine-tuning*. Pretraining is the first step |
# | The field is immature | As a tool it is in wide use. How it works, and what survives in a representation, is still studied |
#
# What it says about autoencoders and about "latent variables" is in notebook 10, where you will build both.
# [docs/article.md](../docs/article.md) goes through the whole article, claim by claim, with sources.
#
# ## 4. The three parts, as code (14 minutes)
#
# The article describes three parts: a *collector*, a *feature extractor* and a *discriminator*.
#
# ### The collector
#
# It takes pictures, makes copies of each, and gives every copy a **pseudo-label**: the number of the picture that it was
# made from. Nobody had to write it down. Here it is for three pictures, without changing the copies.

# %%
# NBVAL_CHECK_OUTPUT
batch, copies, pseudo_labels = data.train.images[:3], [], []
for copy in range(2):
    for number, picture in enumerate(batch):
        copies.append(picture / 255)
        pseudo_labels.append(number)
print("pseudo-labels:", pseudo_labels)

# %% [markdown]
# In the package, the collector is a part of the *method*. This is SimCLR, told that a view must not differ from its
# picture at all. Its pseudo-label is called `index`, the number of the picture in the data set.

# %%
nothing = augment.Policy(scale=(1, 1), ratio=(1, 1), flip=0, jitter=0, gray=0)
still = sslkit.methods.SimCLR(sslkit.nets.small_resnet(), policies=(nothing, nothing))
collected = still.collect(batch, torch.arange(3), None, torch.Generator().manual_seed(0))
# Claim: the same copies ...
assert torch.allclose(torch.cat(collected.views), torch.stack(copies), atol=1e-5)
# ... and the same pseudo-labels
assert (collected.index.repeat(2) == torch.tensor(pseudo_labels)).all()

# %% [markdown]
# And this is what the method really collects. Every row has one pseudo-label.

# %%
generator = torch.Generator().manual_seed(0)
collected = run.method.collect(data.train.images[:5], torch.arange(5), None, generator)
print("pseudo-labels of the rows, from top to bottom:", collected.index.tolist())
plots.views_grid(data.train.images[:5], collected.views)

# %% [markdown]
# The third argument of `collect` is the place for the true labels. We gave `None`, and nothing was missing. But does the
# training use them secretly? A strict test: train twice for some steps, once with the true labels, once with all labels
# shuffled. If labels play no part, then *every single weight* must be the same.

# %%
order = torch.randperm(len(data), generator=torch.Generator().manual_seed(1))
nonsense = dataclasses.replace(data, labels=data.labels[order])
weights = []
for pictures in (data, nonsense):
    same = dict(steps=3, seed=0, batch_size=128, marks=0, precision="float32", channels_last=False)
    short = sslkit.pretrain("simclr", pictures, **same)
    weights.append(torch.cat([p.flatten() for p in short.encoder.parameters()]))
assert not torch.equal(data.labels, nonsense.labels)
# Claim: labels play no part in the training, not even in the last bit.
assert torch.equal(*weights)
print(f"All {len(weights[0]):,} weights are equal.")

# %% [markdown]
# ### Exercise 01a
#
# Write the collector without loops.

# %%
def collect(images, *, n_copies=2):
    """The article's collector without the augmentation: copies (n_copies * B, C, H, W) of `images`
    (B, C, H, W), first every image once, then every image again; and pseudo-labels
    (n_copies * B,): the index of each one's image."""
    return None  # your lines here: copies, pseudo_labels

# %%
# NBVAL_CHECK_OUTPUT
print(find("01a").prompt)
check("01a", collect)

# %% [markdown]
# ### The feature extractor
#
# It turns a view into numbers. SimCLR has two networks in a row: the **encoder** makes the representation *h*, and a small
# **projection head** makes *z*, on which the loss works. The loss compares two vectors, and it is large if the two
# views of one picture are less similar than views of different pictures (notebook 03). After the training, only the
# encoder is kept.

# %%
# NBVAL_CHECK_OUTPUT
views = collected.views[0]
h = run.encoder(views)
z = run.method.head(h)
print("views", tuple(views.shape), "-> h", tuple(h.shape), "-> z", tuple(z.shape))
for name, part in (("encoder", run.encoder), ("projection head", run.method.head)):
    print(f"{name}: {sum(p.numel() for p in part.parameters()):,} weights")

# %% [markdown]
# (The article gives every view a network of its own, and calls *h* what SimCLR calls *z*. SimCLR has one network for all
# views.)
#
# ### The discriminator
#
# The article's third part is optional. It looks at the copies and *rejects* those that are not valid any more. New ones
# are drawn in their place. Why would one want this? Here are very small crops. Which of these views would you send back?

# %%
too_small = augment.Policy(scale=(0.01, 0.08))  # try: (0.3, 1.0)
pictures, generator = data.train.images[:5], torch.Generator().manual_seed(0)
figure = plots.views_grid(pictures, augment.views(pictures, [too_small] * 5, generator))
figure.caption = "Five pictures (left) and five very small crops of each. On which of them can you still see a shape?"
figure

# %% [markdown]
# Many of these views show nothing of the shape. To call two of them "the same" teaches the encoder about the ground, and
# not about the shape. SimCLR has no discriminator: it draws views that are large enough, and lives with a few bad ones.
# The idea of rejecting and drawing again is known from generative models, where a discriminator rejects bad samples of a
# generator ([1810.06758](https://arxiv.org/abs/1810.06758)). A later notebook (10) builds such a gate and asks whether it
# helps more than rejecting at random.
#
# ## 5. The two steps: pretrain, then fine-tune (16 minutes)
#
# So far, the encoder was *frozen*: the labels trained a linear probe only. In the usual second step, the labels may also
# change the encoder a little. This is **fine-tuning**:
#
# 1. **pretrain** the encoder without labels (this is done: `run`);
# 2. put a linear layer on it, and train both with the few labels that you have.
#
# **Predict before you run.** We fine-tune the pretrained network, and we train the same network from random weights. Both
# get the same ten labels per class, the same number of steps, the same views. How far apart will they be?

# %%
my_third_prediction = None  # a difference in accuracy, such as 0.05

# %%
few = dict(per_class=10, steps=60, seed=0)  # try: per_class=1, 5, 50
few |= dict(precision="float32", channels_last=False)  # the same numbers each time you run it
# Careful with what the encoder knows: its learning rate is a tenth.
model, tuned = fine_tune(run.encoder, data, encoder_lr=0.1, **few)
_, scratch = fine_tune(run.untrained, data, encoder_lr=1.0, **few)  # nothing to be careful with

# %%
row = f"{few['per_class']} labels per class"
ways = {"pretrained, then fine-tuned": tuned, "no pretraining": scratch}
if few["per_class"] in budgets:
    ways["pretrained, frozen"] = curves["pretrained encoder"][few["per_class"]]
figure = plots.compare({name: {row: score} for name, score in ways.items()}, chance=1 / 8)
figure.caption = "Accuracy on test pictures after the same few labels, with 95 % intervals. Which way is the best one?"
figure

# %%
gap = tuned.value - scratch.value
assert gap > 0.1  # Claim: with few labels and few steps, pretraining decides.
frozen = f", with a probe on the frozen encoder {ways['pretrained, frozen']}" if len(ways) > 2 else ""
display(Markdown(f"Fine-tuned {tuned}, no pretraining {scratch}{frozen}. With pretraining minus without: **{gap:+.2f}**. "
                 f"You wrote: {my_third_prediction or 'nothing yet'}."))

# %% [markdown]
# Look at the third mark, too: the frozen encoder with a linear probe. Is fine-tuning better? Not always. With very few labels
# and few steps there is much to destroy and little to learn. (The two networks did not get the same learning rate, and 60
# steps are few for the one that starts from nothing.) Then set `per_class=50` and run these three cells again. Notebook 06
# compares all ways, also with the *ceiling*: the same network trained with all labels.

# %% [markdown]
# ### Exercise 01b
#
# `per_class=10` chose the labelled pictures for you. It must be done fairly, and that is easy to get wrong. Write it
# yourself.

# %%
def choose_labelled(labels, split, *, per_class, generator):
    """Indices of `per_class` pictures of each class, chosen at random with `generator` among the
    training pictures.

    labels (N,): the class of each picture. split (N,): 0 train, 1 validation, 2 test.
    Any order of the indices is fine.
    """
    return None  # your lines here

# %%
# NBVAL_CHECK_OUTPUT
print(find("01b").prompt)
check("01b", choose_labelled)

# %% [markdown]
# ## What to remember
#
# - A representation is good for a purpose: when what you want to know can be read from it easily. It is also a decision
#   about what to forget.
# - Labels cost work. Pretraining makes few labels go further. How much further depends on the pictures: measure it beside
#   raw pixels and a random encoder.
# - Collector (views and pseudo-labels), feature extractor (encoder), and perhaps a discriminator; first pretrain, then
#   fine-tune.
#
# ## Further reading
#
# - Bengio, Courville and Vincent, a review of representation learning, 2012,
#   [arXiv 1206.5538](https://arxiv.org/abs/1206.5538).
# - Chen and others, pretraining and then fine-tuning with few labels, 2020,
#   [arXiv 2006.10029](https://arxiv.org/abs/2006.10029).
# - Dosovitskiy and others, Exemplar-CNN, 2014, [arXiv 1406.6909](https://arxiv.org/abs/1406.6909).
# - Becker and Hinton, *Self-organizing neural network that discovers surfaces in random-dot stereograms*, Nature 355, 1992.
# - Bourlard and Kamp, *Auto-association by multilayer perceptrons and singular value decomposition*, Biological
#   Cybernetics 59, 1988.
#
# **Next: 02, views: what should not matter?**
