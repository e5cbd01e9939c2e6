# %% [markdown]
# # 02 · Views
#
# **The question: what should not matter?**
#
# A *view* is a picture of a picture: cut out, mirrored, with other colours. Many methods of self-supervised learning, and most of
# this course, show a network two views of each picture and ask for the same answer. So the network learns to ignore what the two views do not
# share, such as the colour. You choose what it forgets before it has seen one picture.
#
# After this notebook you can
#
# * write a flip, a crop, a blur and a change of colour as small matrices, and find these matrices in the package;
# * draw random numbers and apply them in two separate steps, and say why every picture needs its own draw;
# * measure what a set of views destroys, and say which views are wrong for a task.
#
# About 90 minutes, 25 of them for two exercises. The code runs in less than a minute on two CPU cores, with no network.

# %%
import time
from dataclasses import replace
from itertools import combinations

import torch
from IPython.display import Markdown, display
from torch import nn

import sslkit
from sslkit import augment, evaluation, losses, methods, nets, plots, recipes, widgets
from sslkit.augment import Policy
from sslkit.exercises import check

torch.set_printoptions(precision=2, sci_mode=False, linewidth=100)
print("sslkit", sslkit.__version__)

# %% [markdown]
# ## 1. Views of one picture (5 minutes)
#
# The data set `shapes` was drawn by a program, so every *factor* (shape, colour, size, place, angle) of every picture
# is known. A `Policy` says how a view may differ from its picture. `augment.views` makes one view for each policy
# in the list.
#
# **Predict before you run.** Look at the figure below. A network must give all views in a row the same answer.
# Which factors can it use, and which not?

# %%
my_prediction = None  # for example: "it can use ..., it cannot use ..."

# %%
data = sslkit.datasets.load("shapes", n=4000)
policy = recipes.views_for(data)  # the views that the package takes for these pictures
few = data.train.images[:5]  # (5, 3, 32, 32) uint8
generator = torch.Generator().manual_seed(0)
plots.views_grid(few, augment.views(few, [policy] * 6, generator))

# %%
mine = replace(policy, scale=(0.1, 0.3), jitter=0.0, gray=0.0)  # try: scale=(1, 1), gray=1.0, blur=1.0
plots.views_grid(few[:2], augment.views(few[:2], [mine] * 6, generator))

# %% [markdown]
# In the first figure the size, the place and the colour differ from view to view. All views in a row share the outline of
# the shape and the pattern of the ground. So a network that gives them the same answer can use the outline and the
# pattern, and perhaps more that you have not noticed (notebook 05 finds it). That is the whole idea. The rest of this notebook is
# about its parts.
#
# The second figure uses other views: small parts of the picture, in its own colours. Now place and size differ even more,
# and the colours no longer do. You can change the policy and run the cell again.
#
# ## 2. A flip is a matrix (6 minutes)
#
# How does a computer make a view? With few, small matrices. You will see this best on a small picture: a handwritten
# digit of 8 x 8 pixels.

# %%
digits = sslkit.datasets.load("digits")
first_two = (digits.train.labels == 2).nonzero()[0]
X = augment.to_float(digits.train.images)[first_two][0, 0]  # (8, 8), from 0 (black) to 1 (white)
X

# %% [markdown]
# To mirror the picture means to turn the order of its columns round. A matrix can do this: it has one 1 in each row
# and is 0 elsewhere. It stands to the *right* of the picture, because what stands there mixes columns. (What stands to
# the left mixes rows.)

# %%
J = torch.zeros(8, 8)
for i in range(8):
    J[i, 7 - i] = 1

mirrored = X @ J
assert torch.equal(mirrored, X.flip(1))  # claim: a matrix product mirrors the picture
J.int()

# %% [markdown]
# Now the package. `augment.draw` makes random numbers for a view, `augment.matrices` turns them into matrices. We take a
# policy that changes nothing, and set the flip by hand with `dataclasses.replace`, which copies an object and changes
# one of its fields.

# %%
nothing = Policy(scale=(1, 1), ratio=(1, 1), flip=0.0, jitter=0.0, gray=0.0)
still = augment.draw(nothing, 1, (1, 8, 8), generator)  # one view of a picture of 1 channel, 8 x 8
params = replace(still, flip=torch.tensor([True]))
W_y, W_x, colour, offset = augment.matrices(params)  # the two for colour are None here

assert torch.equal(W_y[0], torch.eye(8))  # claim: the rows stay as they are
assert torch.equal(W_x[0], J)  # claim: the package mirrors with the same matrix as you
assert torch.allclose(W_y[0] @ X @ W_x[0].T, mirrored)

# %% [markdown]
# A view is `W_y @ X @ W_x.T`: one matrix for the rows, one for the columns. Keep this line in mind. Crop, resize and
# blur will change the two matrices and nothing else.
#
# ## 3. A crop and a resize are one matrix, too (12 minutes)
#
# To *crop* is to keep some rows. To *resize* is to make each new row a weighted mean of old rows. First the
# crop: keep rows 2 to 5. Each new row copies one old row, so each row of the matrix has one 1.

# %%
crop = torch.zeros(4, 8)  # 4 new rows from 8 old ones
for new, old in enumerate(range(2, 6)):
    crop[new, old] = 1

params = replace(still, box=torch.tensor([[2, 0, 4, 8]]), size=(4, 8))  # top, left, height, width
assert torch.equal(augment.matrices(params)[0][0], crop)  # claim: the package has the same matrix
crop.int()

# %% [markdown]
# Now make these four rows half as high. The simplest way: each new row is the mean of two old rows.
#
# **Predict before you run.** What is the sum of each row of this matrix, and what would go wrong if it were 2?

# %%
my_prediction = None

# %%
halve = torch.zeros(2, 8)
halve[0, 2:4] = 0.5  # the first new row is the mean of rows 2 and 3
halve[1, 4:6] = 0.5  # the second one of rows 4 and 5
print("the sum of each row:", halve.sum(1).tolist())
halve @ X  # (2, 8): the same picture, cropped and half as high

# %% [markdown]
# Each row sums to 1: a new pixel is a *weighted mean* of old pixels, so grey stays equally grey. With a sum of 2 the picture
# would be twice as bright. The package does the same with softer weights. Each new pixel looks at the old pixels through a
# triangle: most weight at its middle, less to the sides.

# %%
middle = replace(still, box=torch.tensor([[2, 0, 4, 8]]))  # rows 2 to 5, all columns
half = augment.matrices(replace(middle, size=(2, 8)))[0][0]  # (2, 8): 4 rows become 2
double = augment.matrices(replace(middle, size=(8, 8)))[0][0]  # (8, 8): 4 rows become 8
print("4 rows become 2:", half, "4 rows become 8:", double, sep="\n")

for W in (half, double):
    assert torch.allclose(W.sum(1), torch.ones(len(W)))  # claim: every row sums to 1
    assert (W[:, [0, 1, 6, 7]] == 0).all()  # claim: nothing outside of the crop is looked at

# %% [markdown]
# Read the first matrix: to *shrink*, each new row uses three old ones. This is called antialiasing: without it, thin lines
# would vanish between the rows that are looked at. Read the second one: to *enlarge*, each new row lies between two old
# ones and takes more of the nearer one.
#
# Rows and columns together, with a mirror on top, are still two matrices. This is what the package computes:

# %%
box = torch.tensor([[1, 2, 6, 5]])  # top, left, height, width    # try: [[4, 4, 4, 4]]
params = replace(still, box=box, flip=torch.tensor([True]))
W_y, W_x, *_ = augment.matrices(params)
by_hand = W_y[0] @ X @ W_x[0].T  # (8, 8)

view = augment.apply(X[None, None], params)  # (1, 1, 8, 8), the package's view
assert torch.allclose(view[0, 0], by_hand, atol=1e-6)  # claim: a view is two matrix products
figure = plots.views_grid(X[None, None], [mirrored[None, None], view])
figure.caption = (
    "A digit (left), mirrored (view 1), and cropped, enlarged and mirrored at once (view 2)."
)
figure.alt = "A handwritten two and two views of it."
figure

# %% [markdown]
# Why matrices? Because they are small, and because a whole batch is then one batched product: `W_y` is `(n, h, H)`,
# one matrix for each of n pictures, all different.

# %%
H = 32
two, one = 2 * H * H, (H * H) ** 2
display(Markdown(
    f"For a picture of {H} x {H} pixels the two matrices hold {two:,} numbers. "
    f"One matrix for all pixels at once would hold {one:,}, which is {one // two} times as many."
))

# %% [markdown]
# ### Exercise 02a (15 minutes)
#
# Write `crop_matrix(...)`: the matrix that crops one side of a picture, resizes it and, if asked, turns it round.
# The text in the function says how. The check tells you which mistake you made, if it is a known one.

# %%
def crop_matrix(size, top, height, out, *, flip=False):
    """The matrix W (out, size): W @ column keeps pixels top to top + height - 1 of `size` and
    resizes them to `out`.

    New pixel i looks at c = top + (i + 0.5) * height / out. Old pixel j, with its middle at
    j + 0.5, gets the weight max(0, 1 - |c - (j + 0.5)| / s) with s = max(1, height / out);
    outside the box it gets 0. Each row then sums to 1.
    flip=True: the rows in reverse order, so that the first new pixel becomes the last.
    """
    return None  # your lines here


# %%
check("02a", crop_matrix)

# %% [markdown]
# ## 4. A blur is a matrix (5 minutes)
#
# To blur is again to make each new pixel a weighted mean of old ones. Now the weights are a bell curve around the
# pixel: `exp(-distance² / (2 sigma²))`. The larger `sigma`, the wider the bell, the softer the picture.

# %%
def blur_matrix(side, sigma):
    W = torch.zeros(side, side)
    for i in range(side):
        for j in range(side):
            W[i, j] = torch.exp(torch.tensor(-((i - j) ** 2) / (2 * sigma**2)))
        W[i] = W[i] / W[i].sum()  # a weighted mean: the row sums to 1
    return W


mine = blur_matrix(8, sigma=1.0)
theirs = augment.matrices(replace(still, blur=1.0))[0][0]
assert torch.allclose(mine, theirs, atol=1e-4)  # claim: the package blurs with this matrix
mine

# %%
sigmas = [0.5, 1.0, 2.0, 4.0]  # try: [0.2, 8.0]
photo = few[:3]
calm = augment.draw(nothing, 3, (3, 32, 32), generator)
figure = plots.repainted(photo, {f"sigma {s}": augment.apply(photo, replace(calm, blur=s)) for s in sigmas})
figure.caption = f"Three pictures (left), blurred with a sigma of {', '.join(map(str, sigmas))} pixels. What is lost first?"
figure.alt = "Three pictures, each blurred more and more to the right."
figure

# %% [markdown]
# The faint pattern of the ground is lost first, the outline last. Two views with different blur share the outline but not
# the pattern, so blur is a way to say "fine patterns do not matter".
#
# ## 5. Colour is a 3 x 3 matrix (8 minutes)
#
# Each pixel has three numbers: red, green, blue. The usual changes of colour mix these three numbers, in the same way for all
# pixels. So each of them is a 3 x 3 matrix, applied to every pixel.
#
# *Gray* replaces all three by one weighted mean, the *luma*: how bright the pixel looks. Green looks brighter than blue, so
# it has more weight. *Saturation* is a mixture: a share `s` of the colour, and `1 - s` of the gray.

# %%
luma = torch.tensor([0.299, 0.587, 0.114])
gray = luma.repeat(3, 1)  # three equal rows: the new red, green and blue are the same number


def saturation(s):
    return s * torch.eye(3) + (1 - s) * gray


saturation(0.5)

# %%
def colour_matrix(**change):
    """The package's matrix for one change of colour."""
    still = augment.draw(nothing, 1, (3, 32, 32), generator)
    return augment.matrices(replace(still, **change))[2][0]  # (3, 3)


assert torch.allclose(colour_matrix(gray=True), gray, atol=1e-3)  # claim: the same as yours
assert torch.allclose(colour_matrix(saturation=0.5), saturation(0.5), atol=1e-3)

# %% [markdown]
# *Hue* is the position on the circle of colours: red, yellow, green, blue, and back to red. To change it is to turn this circle,
# by a number between -0.5 and 0.5, where 1 is the whole circle.
#
# **Predict before you run.** You turn the hue of a grey pixel by half a circle. Which colour does it get? The card below
# keeps its answer back until you have recorded yours. Afterwards it asks you for one sentence: why?

# %%
def turned_grey():
    red, green, blue = colour_matrix(hue=0.5) @ torch.tensor([0.5, 0.5, 0.5])
    return "grey" if max(red, green, blue) - min(red, green, blue) < 0.01 else "a colour"


question = "Grey, its hue turned by half a circle: which colour is it then?"
widgets.Predict(question, turned_grey, choices=["a colour", "grey", "it depends on the grey"])

# %%
turn = colour_matrix(hue=0.5)  # half a circle    # try: 0.1, 0.333
grey_pixel = torch.tensor([0.5, 0.5, 0.5])
pale = saturation(0.5)

assert torch.allclose(turn @ grey_pixel, grey_pixel, atol=1e-3)  # claim: grey has no hue to turn
assert torch.allclose(luma @ turn, luma, atol=1e-3)  # claim: every pixel stays as bright as it was
assert torch.allclose(turn @ pale, pale @ turn, atol=1e-3)  # claim: the order does not matter
turn

# %% [markdown]
# Grey stays grey: it is the centre of the circle, and the centre does not move. *Brightness* multiplies all three numbers.
# *Contrast* does, too, and then adds a share of the picture's mean luma, so that the mean stays (`offset` in
# `augment.matrices`). One 3 x 3 matrix and one offset for each picture: that is all of colour.

# %%
calm = augment.draw(nothing, 5, (3, 32, 32), generator)
changes = [
    {"brightness": 0.5}, {"contrast": 0.3}, {"saturation": 0.2},
    {"hue": 0.25}, {"hue": 0.5}, {"gray": True},
]
names = [f"{name} {value}" for change in changes for name, value in change.items()]
names[-1] = "gray"
figure = plots.repainted(few, dict(zip(names, [augment.apply(few, replace(calm, **c)) for c in changes])))
figure.caption = f"Pictures (left), and one change at a time: {', '.join(names)}."
figure.alt = "Five pictures with six changes of colour."
figure

# %% [markdown]
# ## 6. Draw and apply are two steps (6 minutes)
#
# Random code is hard to test: you never know what you will get. So the package first *draws* all random numbers
# (`Params`, plain tensors that you can print), and then *applies* them, with nothing random left.

# %%
# NBVAL_CHECK_OUTPUT
params = augment.draw(policy, 5, (3, 32, 32), torch.Generator().manual_seed(1))
for number in range(3):
    top, left, height, width = params.box[number].tolist()
    rows, columns = f"{top} to {top + height - 1}", f"{left} to {left + width - 1}"
    flip = "mirrored" if params.flip[number] else "not mirrored"
    print(f"picture {number}: rows {rows}, columns {columns}, {flip}")

# %%
again = augment.apply(few, params)
assert torch.equal(augment.apply(few, params), again)  # claim: apply has nothing random in it

no_colour = dict.fromkeys(["brightness", "contrast", "saturation", "hue", "gray"])  # all None
no_crop = {"box": torch.tensor([[0, 0, 32, 32]] * 5)}
three = [params, replace(params, **no_colour), replace(params, **no_crop)]
figure = plots.views_grid(few, [augment.apply(few, p) for p in three])
figure.caption = (
    "Pictures (left), one draw (view 1), the same draw without its colours (view 2), "
    "and without its crop (view 3)."
)
figure.alt = "Five pictures with three views that share most of their random numbers."
figure

# %% [markdown]
# View 2 has the crop of view 1, view 3 has its colours. Only a draw that is stored can be changed in one place.
#
# That is what the *views playground* does: each slider sets one number of a stored draw. Move `top` and `height` and watch the
# matrix of rows, tick `flip` and watch the matrix of columns, then turn the hue and read the nine numbers of the colour matrix.
# "One random draw" sets all sliders to what a policy has drawn. "Many random draws" shows how strong this policy is.

# %%
widgets.ViewsPlayground(few, policy)

# %% [markdown]
# ## 7. One draw for each picture (6 minutes)
#
# The well-known library torchvision has the same transforms. They were made for one picture at a time. What happens if
# you hand them a whole batch? A clean test: a batch of 64 copies of *one* picture.
#
# **Predict before you run.** How many different pictures come out of torchvision, and how many of sslkit?

# %%
my_prediction = None

# %%
# NBVAL_CHECK_OUTPUT
from torchvision.transforms import v2

torch.manual_seed(0)
jitter = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
theirs = v2.Compose([v2.RandomResizedCrop(32), v2.RandomHorizontalFlip(), jitter])

copies = augment.to_float(few[:1]).repeat(64, 1, 1, 1)  # 64 times the same picture
made = {"torchvision": theirs(copies), "sslkit": augment.view(copies, Policy(), generator)}
for name, views in made.items():
    print(f"{name}: {len(views.flatten(1).unique(dim=0))} different of {len(views)}")

# %% [markdown]
# torchvision drew once and used the numbers 64 times. Does this matter? The network compares the pictures *of one
# batch*. If all of them are made brighter by the same factor, the brightest picture stays the brightest: the brightness
# still tells them apart, and the network has no reason to ignore it. Measure it: the *correlation* between the brightness of
# the pictures in view 1 and in view 2. 1 means that brightness gives the picture away, 0 that it says nothing.

# %%
def agreement(view1, view2):
    brightness = torch.stack([view.mean((1, 2, 3)) for view in (view1, view2)])  # (2, N)
    return torch.corrcoef(brightness)[0, 1].item()


x = augment.to_float(data.train.images[:512])
only_jitter = replace(nothing, jitter=1.0)  # its strengths are the same as above
shared = agreement(jitter(x), jitter(x))
own = agreement(*augment.views(x, [only_jitter] * 2, generator))

assert shared > own + 0.1  # claim: a draw that is shared by the batch hides less
display(Markdown(f"Correlation: one draw for the batch {shared:.2f}, for each picture {own:.2f}."))

# %% [markdown]
# With a draw for each picture it is not 0 either: jitter changes the brightness by a part only, so a light picture often stays a light
# one. But the brightness says much less.
#
# The honest way with torchvision is a loop over pictures. Matrices do the same for the whole batch at once:

# %%
batch = augment.to_float(data.train.images[:256])
start = time.perf_counter()
torch.stack([theirs(picture) for picture in batch])
middle = time.perf_counter()
augment.view(batch, policy, generator)
end = time.perf_counter()
loop, matrices = 1000 * (middle - start), 1000 * (end - middle)
display(Markdown(f"{len(batch)} views: torchvision in a loop {loop:.0f} ms; sslkit {matrices:.0f} ms"))

# %% [markdown]
# ### Exercise 02b (8 minutes)
#
# Write `draw_shifts(...)`: how far each view of each picture is moved, drawn anew for every view, picture and direction.

# %%
def draw_shifts(n_images, *, n_views=2, limit=4, generator):
    """Random shifts (n_views, n_images, 2) in whole pixels, dy and dx: each from -limit to limit (both included),
    all equally likely, drawn with `generator` for every view, every image and both directions."""
    return None  # your line here


# %%
check("02b", draw_shifts)

# %% [markdown]
# ## 8. Which views are wrong? (12 minutes)
#
# A view is wrong for a task if it changes the answer. You can test this before you train anything. A representation that
# ignores a flip gives a picture and its flip the same numbers. The simplest one is the mean of both: `(x + flipped x) / 2`.
# It is not the best one, but you need not train it. *kNN* (k nearest neighbours) measures what it still knows: each
# test picture gets the label of the most similar training pictures.
#
# We try it on digits and on clothes (`fashion`), with the left-right mirror, with a half turn, and with all four flips.
#
# **Predict before you run.** Which of these hurts digits most? Which hurts clothes most? Which digits suffer?

# %%
my_prediction = None

# %%
FLIPS = {  # the axes that are flipped: 2 is up-down, 3 is left-right
    "the picture as it is": [()],
    "mean with its mirror": [(), (3,)],
    "mean with its half turn": [(), (2, 3)],
    "mean of all four flips": [(), (3,), (2,), (2, 3)],
}


def blind(images, flips):
    x = augment.to_float(images)
    return torch.stack([x.flip(axes) for axes in flips]).mean(0).flatten(1)  # (N, C * H * W)


def accuracy(train, test, flips):
    x = [blind(part.images, flips) for part in (train, test)]
    return evaluation.knn(x[0], train.labels, x[1], test.labels, k=5)


# %%
sets = {"digits": digits, "clothes": sslkit.datasets.load("fashion")}
table = {name: {} for name in FLIPS}
for title, images in sets.items():
    train, test = images.train[torch.arange(1000)], images.test[torch.arange(400)]
    for name, flips in FLIPS.items():
        table[name][title] = accuracy(train, test, flips)
figure = plots.compare(table, chance=0.1)
figure.caption = (
    "How often the vote of five neighbours is right if it ignores some flips, with 95 % intervals. Follow the marks from the "
    "picture as it is to the mean of all four flips: what do digits lose, and what do clothes?"
)
figure

# %%
def lost(title, flips):
    """How much accuracy it costs to ignore these flips."""
    return float(table["the picture as it is"][title]) - float(table[flips][title])


assert lost("digits", "mean of all four flips") > 0.05  # claim: much for digits
assert lost("digits", "mean with its mirror") < 0.05  # claim: the mirror alone costs them little
assert lost("clothes", "mean of all four flips") < 0.05  # claim: clothes lose little

# %% [markdown]
# Which digits suffer? Ask for sixes and nines only:

# %%
six_or_nine = lambda part: part[(part.labels == 6) | (part.labels == 9)]
train, test = six_or_nine(digits.train), six_or_nine(digits.test)
pair = {name: accuracy(train, test, flips) for name, flips in FLIPS.items()}
half_turn, mirror = pair["mean with its half turn"], pair["mean with its mirror"]
assert float(half_turn) < float(mirror)  # claim: it is the half turn that mixes them up
display(Markdown("; ".join(f"{name}: {score}" for name, score in pair.items()) + "."))

# %% [markdown]
# Often you read "never flip digits". The measurement is more exact. The left-right mirror costs little here, because a mirrored
# digit rarely looks like another digit. The half turn costs more, and you can see why: it makes a nine of a six.
# Clothes lose next to nothing. So a view is not right or wrong in itself. It depends on the pictures and on the question,
# and you can measure it.
#
# **Now colour.** Suppose your task is to name the *hue* of a shape. Train two small networks for 80 steps each. They differ
# only in their views: one set keeps colours, the other turns the hue at random. (The training method is SimCLR, the topic of
# notebooks 03 and 04. Here it is a black box that makes views agree.)
#
# **Predict before you run.** From which network can you read the hue better? The shape? Which one ends with the lower
# loss?

# %%
my_prediction = None

# %%
def pretrain(policy, seed=0):
    torch.manual_seed(seed)
    encoder = nets.small_resnet(widths=(16, 32, 64), norm="group")  # small and quick
    return sslkit.pretrain(
        "simclr", data, encoder=encoder, policies=(policy, policy), head=(128, 64), norm="group",
        steps=80, batch_size=128, temperature=0.2, seed=seed, marks=0, precision="float32",
    )


keeps = pretrain(replace(policy, jitter=0.0, gray=0.0))
changes = pretrain(policy)

# %%
def read(encoder):
    """How well each factor can be read from the features by a linear probe, on new pictures."""
    x = evaluation.split_features(encoder, data)
    wanted = ("hue", "shape", "texture")  # the texture is the pattern of the ground
    train, test = ({k: part.factors[k] for k in wanted} for part in (data.train, data.test))
    return evaluation.factors(x["train"], train, x["test"], test)


encoders = {"views keep colour": keeps, "views change colour": changes}
found = {name: read(run.encoder) for name, run in encoders.items()}
found["untrained"] = read(keeps.untrained)
plots.factors(found)

# %%
keep, change = found["views keep colour"], found["views change colour"]
loss = {name: run.history.rows[-1]["loss"] for name, run in encoders.items()}
assert float(keep["hue"]) > float(change["hue"]) + 0.2  # claim: hue is lost where views change it
assert float(keep["shape"]) < float(change["shape"]) - 0.1  # claim: and shape is learnt there
low, high = loss["views keep colour"], loss["views change colour"]
assert low < high - 0.5  # claim: the network that knows less about shapes has the lower loss
for name in encoders:
    hue, shape = found[name]["hue"], found[name]["shape"]
    display(Markdown(f"{name}: loss {loss[name]:.2f}, hue R² {hue}, shape accuracy {shape}"))

# %% [markdown]
# R² is the share of the variation of hue that can be predicted: 1 is all, 0 is nothing. Shape and texture are classes, so
# their number is an accuracy; by chance it would be 1/8 and 1/4. The runs are very short, but the result is clear.
#
# * For the task "hue", the views that change colour are wrong. They ask the network to ignore the answer.
# * For the task "shape", the views that *keep* colour are wrong. Two views of one picture then share their colours, so the
#   network can find the partner by colour alone. This is a *shortcut*: the training task is solved, the loss is low,
#   and nothing about shapes is learnt.
# * So a lower loss does not mean a better representation. The loss says how easy the views made the task.
#
# ## 9. More than two views (5 minutes)
#
# Two views are the usual choice, not a law. The list of policies may be longer, and the views may have different sizes. In
# *multi-crop*, two large views and several small ones come from each picture. Small views are cheap.

# %%
large = policy
small = replace(policy, size=16, scale=(0.1, 0.4))  # a small part of the picture, 16 x 16 pixels
policies = [large] * 2 + [small] * 4
views = augment.views(few, policies, generator)
print([tuple(view.shape) for view in views])
count = [view[0, 0].numel() for view in views]  # pixels of one view
pixels = {"large": sum(count[:2]), "small": sum(count[2:])}
display(Markdown(f"Pixels: large views {pixels['large']:,}, small views {pixels['small']:,}"))

# %%
figure = plots.views_grid(few, views)
figure.caption = "Pictures (left), two large views, and four small ones, drawn at the same size."
figure.alt = "Five pictures with two large and four small views each."
figure

# %% [markdown]
# What does the loss do with six views? The package's `methods.Joint` takes the mean over all pairs of views. By hand:

# %%
torch.manual_seed(0)
encoder = nets.small_resnet(widths=(16, 32), norm="group")
method = methods.Joint(encoder, nn.Linear(encoder.dim, 16), losses.nt_xent, policies=policies)
batch = method.collect(data.train.images[:32], torch.arange(32), None, generator)

z = [method.head(method.encoder(view)) for view in batch.views]  # 6 x (32, 16)
pairs = [losses.nt_xent(a, b) for a, b in combinations(z, 2)]
mean = torch.stack(pairs).mean()
assert torch.allclose(method(batch)["loss"], mean, atol=1e-5)  # claim: the mean over all pairs
print(f"{len(batch.views)} views make {len(pairs)} pairs")

# %% [markdown]
# The same network takes both sizes, because its last step is a mean over the picture. (SwAV, which made multi-crop known,
# compares each view with the large ones only.)
#
# ## What to remember
#
# * A view is two matrices for rows and columns, one 3 x 3 matrix and an offset for colour. Draw first, then apply, and draw
#   for each picture.
# * What two views do not share, the network learns to ignore; what they change only a little can stay (notebook 09). What they
#   keep, it may use as a shortcut.
# * Views are right or wrong for a task. Measure it; the loss will not tell you.
#
# **Further reading.** SimCLR and its study of views, arXiv 2002.05709 (section 3 and appendix A). Multi-crop: SwAV,
# arXiv 2006.09882. "What makes for good views for contrastive learning", arXiv 2005.10243. "What should not be contrastive in contrastive
# learning", arXiv 2008.05659.
#
# **Next: 03 · Contrastive loss.** Views say what should be equal. What keeps everything else apart?
