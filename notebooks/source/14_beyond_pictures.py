# %% [markdown]
# # 14 · Beyond pictures
#
# **The question: is it only about pictures?**
#
# The article from which this course grew says that self-supervised learning is also used for clustering texts, for
# recommending things, and for tracking in films. You will try all three, with one loss: `nt_xent`, which you know from
# notebook 03. Each time you ask two questions. What are two views here? And which simple method must be beaten?
#
# After this notebook you can
#
# * invent two views for data that are no pictures, and say what they keep;
# * put an honest baseline beside your own idea, also when it wins;
# * say what the contrastive loss divides away, and when you must put it back;
# * measure a recommender and a tracker, and say what a toy cannot show.
#
# About 60 minutes, 20 of them for two exercises. The code runs in about a minute and a half on one CPU core, with no network.

# %%
import math
import statistics
from collections import Counter

import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import normalized_mutual_info_score
from torch import nn

import sslkit
from sslkit import maps, plots, widgets
from sslkit.exercises import check, find
from sslkit.losses import nt_xent

print("sslkit", sslkit.__version__)


# %%
def show_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    display(Markdown("\n".join(lines)))


# %% [markdown]
# ## 1. The loss has never seen a picture (4 minutes)
#
# Look at what `nt_xent` is given: two tables of numbers, (B, D) each. Row 3 of the first belongs to row 3 of the second.
# Nothing says where the rows come from. Here it is again by hand, to be sure that nothing is hidden:

# %%
def by_hand(z1, z2, temperature=0.5):
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    cosines = (z @ z.T / temperature).fill_diagonal_(-torch.inf)  # nobody is compared with itself
    partner = torch.arange(len(z)).roll(len(z1))
    return F.cross_entropy(cosines, partner)


z1, z2 = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
assert torch.allclose(by_hand(z1, z2), nt_xent(z1, z2))  # claim: the package computes the same
print(f"by hand {by_hand(z1, z2):.4f}, package {nt_xent(z1, z2):.4f}")

# %% [markdown]
# Two things are ours to choose: what a *view* is, and the *encoder* that turns a view into a row.
#
# | | one thing | two views of it | the encoder |
# |---|---|---|---|
# | text | the words for an emoji | two random parts of its words | the mean of word vectors |
# | recommendation | the basket of a customer | two random parts of the basket | the mean of item vectors |
# | tracking | a window of a film | the window, turned and enlarged at random, twice | a small convolutional network |
#
# And here is the only training loop of this notebook. It does not know which of the three it works for.

# %%
def learn(encoder, two_views, seed, *, steps, rate, temperature=0.5):
    draw = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(encoder.parameters(), rate)
    for _ in range(steps):
        first, second = two_views(draw)
        loss = nt_xent(encoder(first), encoder(second), temperature=temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return encoder


# %% [markdown]
# ## 2. Texts (12 minutes)
#
# The pictures of `emoji` have names and keywords, from the package emojilib. Each emoji belongs to one of ten groups
# ("Food & Drink") and one of 99 subgroups. Nobody shows them to the methods. We cluster the texts and ask afterwards how well the clusters agree
# with the groups.
#
# First a **leak**. If the word "flag" stands in the text of every flag, then the answer is written in the question. So we
# remove every word that begins like a word of a group's name. (The five skin tones have no words. They are a group of their own, which falls out.)

# %%
emoji = sslkit.datasets.load("emoji")
once = emoji.factors["artist"] == 0  # the drawings of one artist: every emoji once
groups, subgroups = emoji.labels[once], emoji.factors["subgroup"][once]
texts = [text.split() for text in sslkit.datasets.emoji_words()]
print(emoji.group_names[0], "=", texts[0])

starts = tuple(word.rstrip("s")[:5] for name in emoji.names for word in name.lower().split() if word not in ("&", "component"))
told = Counter(word for text in texts for word in text if word.startswith(starts))
texts = [[word for word in text if word not in told] for text in texts]
print("removed:", *(f"{word} ({n})" for word, n in told.most_common(14)), "and others")

# %% [markdown]
# A word that stands in one text only cannot connect two texts. We leave it out, and then every text with fewer than
# two words. All methods below get exactly the same texts.

# %%
count = Counter(word for text in texts for word in text)
texts = [[word for word in text if count[word] > 1] for text in texts]
kept = [i for i, text in enumerate(texts) if len(text) >= 2]
texts, groups, subgroups = [texts[i] for i in kept], groups[kept], subgroups[kept]
words = sorted({word for text in texts for word in text})
number = {word: i + 1 for i, word in enumerate(words)}  # 0 is an empty place
rows = [torch.tensor([number[word] for word in text]) for text in texts]
table = nn.utils.rnn.pad_sequence(rows, batch_first=True)  # (texts, longest)
print(f"{len(texts):,} texts, {len(words):,} words, {statistics.mean(map(len, texts)):.1f} words in a text")
print(f"{len(groups.unique())} groups and {len(subgroups.unique())} subgroups are left")

# %% [markdown]
# Two views of a text: its words in two random parts. Nothing is in both.

# %%
def two_parts(table, draw):
    """The numbers of each row (B, L) in two random parts; 0 is an empty place."""
    places = torch.rand(table.shape, generator=draw).masked_fill(table == 0, 2).argsort(1).argsort(1)
    first = places < (table > 0).sum(1, keepdim=True) // 2
    return table * first, table * ~first


def read(row):
    return " ".join(words[i - 1] for i in row if i)


for one, other in zip(*two_parts(table[:600:150], torch.Generator().manual_seed(1))):
    print(f"{read(one)}  |  {read(other)}")

# %% [markdown]
# **NMI**, the normalised mutual information, says how well clusters and groups agree. 1: they are the same. Near 0: who
# knows the cluster knows nothing about the group. With many clusters it is above 0 by luck alone, so we print what luck gives.
#
# The baselines: **TF-IDF** counts words, and rare words count more. **LSA** (1990) compresses this table to 64 directions
# with a singular value decomposition. Both in scikit-learn, both followed by k-means, like our own vectors. k-means is told the number of groups.

# %%
def agreement(x, seed):
    """The NMI of k-means with the groups, and with the subgroups."""
    found = []
    for truth, starts in ((groups, 10), (subgroups, 2)):
        clusters = KMeans(len(truth.unique()), n_init=starts, random_state=seed).fit_predict(x)
        found.append(normalized_mutual_info_score(truth, clusters))
    return found


tfidf = TfidfVectorizer(analyzer=list).fit_transform(texts)  # (texts, words), sparse
SEEDS = range(5)
scores = {"TF-IDF": [agreement(tfidf, seed) for seed in SEEDS]}
lsa = [F.normalize(torch.tensor(TruncatedSVD(64, random_state=s).fit_transform(tfidf))).numpy() for s in SEEDS]
scores["LSA"] = [agreement(x, seed) for seed, x in zip(SEEDS, lsa)]
shuffle = torch.Generator().manual_seed(0)
by_luck = [normalized_mutual_info_score(t, t[torch.randperm(len(t), generator=shuffle)]) for t in (groups, subgroups)]
mean = lambda pairs, column=0: statistics.mean(pair[column] for pair in pairs)
print(f"groups: luck {by_luck[0]:.2f}, TF-IDF {mean(scores['TF-IDF']):.2f}, LSA {mean(scores['LSA']):.2f}")

# %% [markdown]
# **Predict before you run.** An encoder that takes the mean of its word vectors, trained for 150 steps. Is its NMI with the
# groups above TF-IDF? Above LSA? And how good is it *before* the training, when all word vectors are random?

# %%
my_prediction = None

# %%
def text_vectors(seed, *, steps=150, temperature=0.5):
    torch.manual_seed(seed)
    encoder = nn.EmbeddingBag(len(words) + 1, 64, mode="mean", padding_idx=0)  # the mean of word vectors
    batch = lambda draw: two_parts(table[torch.randint(len(table), (256,), generator=draw)], draw)
    learn(encoder, batch, seed, steps=steps, rate=0.02, temperature=temperature)
    return F.normalize(encoder(table).detach())


learned = [text_vectors(seed) for seed in SEEDS]
scores["untrained"] = [agreement(text_vectors(seed, steps=0).numpy(), seed) for seed in SEEDS]
scores["nt_xent"] = [agreement(x.numpy(), seed) for seed, x in zip(SEEDS, learned)]

# %%
show_table(
    ["NMI, mean of seeds (standard deviation)", "groups", "subgroups"],
    [["luck", *(f"{x:.2f}" for x in by_luck)]]
    + [[n, *(f"{mean(s, c):.3f} ({statistics.stdev(p[c] for p in s):.3f})" for c in (0, 1))] for n, s in scores.items()],
)
print(f"{len(SEEDS)} seeds. You wrote: {my_prediction or 'nothing yet'}.")
figure = plots.race({n: [p[0] for p in s] for n, s in scores.items()}, measure="NMI with the groups")
figure.caption = "Dots are seeds, a bar is their mean. Compare the gap between two rows with the spread inside each of them."
figure

# %%
for column in (0, 1):  # groups, subgroups
    assert mean(scores["nt_xent"], column) > mean(scores["TF-IDF"], column) + 0.02  # claim: better than counting words
    assert mean(scores["nt_xent"], column) > mean(scores["untrained"], column) + 0.05  # claim: it has learned
lead = [[ours - theirs for ours, theirs in zip(*pair)] for pair in zip(scores["nt_xent"], scores["LSA"])]
for column, what in enumerate(("groups", "subgroups")):
    for rival in ("TF-IDF", "LSA"):
        gap, half = find("11a").reference(*(torch.tensor([p[column] for p in scores[n]]) for n in ("nt_xent", rival)), 2.776)
        print(f"{what}: nt_xent - {rival} = {gap:+.3f} ± {half:.3f}")
    print(f"{what}: ahead of LSA in {sum(x[column] > 0 for x in lead)} of {len(lead)} seeds")

# %% [markdown]
# So it works on texts: no word vectors were given, and words that stand in the same texts have found each other. Now read
# the last lines. They are intervals over seeds, as in notebook 11. For the groups the gain over both baselines is clear, though
# it is no large step. For the subgroups LSA has most of it already, and what is left is small. LSA is from
# 1990, has no training loop, and uses the same idea: words are alike when they stand with the same words. Whoever shows
# only TF-IDF beside a new method shows half of the truth.
#
# The other half: before we wrote this, we tried a few numbers of steps and rates, and a few numbers of directions for LSA,
# with a look at these labels. Seeds do not undo such a choice.
#
# And there is a knob: the temperature. We took the default of the package. A low temperature asks to tell every text from every other.
# Is this what a group of hundreds of texts needs? You have five seeds at 0.5. Say first where 0.1 and 1 will be.

# %%
warm = {0.5: scores["nt_xent"][:3]}
for temperature in (0.1, 1.0):  # try: 0.05
    warm[temperature] = [agreement(text_vectors(s, temperature=temperature).numpy(), s) for s in range(3)]
show_table(
    ["temperature", "NMI with the groups", "with the subgroups"],
    [[t, *(f"{mean(warm[t], c):.2f}" for c in (0, 1))] for t in sorted(warm)],
)
assert mean(warm[0.1]) < mean(warm[0.5]) - 0.02  # claim: a low temperature harms the large groups

# %% [markdown]
# A low temperature pushes away the nearest texts above all, and these are the ones of the same group. This is the
# temperature of notebook 03 in another place. But now we have looked at labels. Whoever has none cannot choose so. Then the default is
# the honest choice, and the table above says how much hangs on it.
#
# Where do the learned vectors put the words? The map below knows nothing but words. The drawings are put on it afterwards.

# %%
figure = plots.map2d(
    maps.tsne(learned[0]), groups, names=emoji.names, images=emoji.images[once][kept], method="t-SNE"
)
figure.caption = (
    f"t-SNE of {len(texts):,} texts, of which some are shown as their emoji; colour is the group, which the map does not know. "
    "Look for neighbours that make sense, and for one that does not. Only neighbourhoods mean something."
)
figure.alt = f"Scatter plot of {len(texts):,} texts in many small clusters, with small drawings of emoji on it."
figure

# %% [markdown]
# **Not shown here:** texts of whole sentences, where the order of words counts; a large language model as encoder, as in the
# paper below; and other sources of keywords. A few keywords are an easy text. And most flags share words such as "nation",
# which we left in: they are easy for every method.
#
# ## 3. Recommendations (10 minutes, and 10 for an exercise)
#
# A shop knows baskets, and nothing else. We make the shop ourselves, so that we know the truth: 300 items, eight tastes,
# each item serves one taste; a customer has one or two tastes. And some items are popular with everybody. Popularity is
# a **confounder**: two popular items are often in one basket, though they have nothing to do with each other.

# %%
ITEMS, TASTES, KNOWN = 300, 8, 10
taste = torch.arange(ITEMS) % TASTES  # which taste an item serves


def shop(seed, customers=2000):
    draw = torch.Generator().manual_seed(seed)
    popularity = -(torch.randperm(ITEMS, generator=draw) + 11.0).log()  # a few are wanted by all
    loves = torch.zeros(customers, TASTES).scatter(1, torch.randint(TASTES, (customers, 2), generator=draw), 2.0)
    wish = loves[:, taste]  # (customers, items): 2 where the item serves a taste of the customer, else 0
    luck = -torch.empty(wish.shape).exponential_(generator=draw).log()
    order = (wish + popularity + luck).topk(KNOWN + 4).indices  # a basket: 14 different items
    order = order.gather(1, torch.rand(order.shape, generator=draw).argsort(1))  # in no order
    return order[:, :KNOWN], order[:, KNOWN:], wish, popularity  # 10 known, 4 held out


# %% [markdown]
# (The luck has a shape, named after Gumbel, with which the best 14 are a fair draw: an item is drawn in proportion to
# exp(wish + popularity).) Four items of each basket are held out. A good recommender finds them.
#
# ### Exercise 14a (10 minutes)
#
# Hint: what does a customer say who is told to buy what is in the basket already?

# %%
def recall_at_k(scores, known, held_out, k):
    """Scores (U, I) of every item for every user; `known` and `held_out` (U, I) are True where a user has the item
    in the known part of the basket, and where it was held out. Recommend to each user the k items with the highest
    scores that are not known. One number: the share of the user's held-out items in this list, mean over users."""
    return None  # your lines here


# %%
check("14a", recall_at_k)

# %%
recall = find("14a").reference  # the package's answer to the exercise; do not look yet
marks = lambda items: torch.zeros(len(items), ITEMS, dtype=torch.bool).scatter(1, items, True)
shops = []
for seed in range(3):
    known, held_out, wish, popularity = shop(seed)
    shops.append((known, marks(known), marks(held_out), wish, popularity))


def recalls(score):
    """score(shop number, known items, their marks) -> (U, I). recall@10 in each shop."""
    return [float(recall(score(i, s[0], s[1]), s[1], s[2], 10)) for i, s in enumerate(shops)]


baskets = {"popularity": recalls(lambda i, known, mark: mark.sum(0).expand(len(mark), -1).double())}
print(f"recall@10 of popularity: {statistics.mean(baskets['popularity']):.3f}")

# %% [markdown]
# The list by popularity is the same for everybody, and it is a strong baseline in real shops, too.
#
# **Predict before you run.** An oracle knows the *true* tastes of every customer, and recommends items of these tastes. It
# does not know what is popular. What is its recall@10?

# %%
question = "The true tastes are known, popularity is not. Which recall@10?"
widgets.Predict(question, lambda: recalls(lambda i, *_: shops[i][3] + torch.rand(shops[i][3].shape)), unit="recall@10")

# %%
tie = lambda x: x + torch.rand(x.shape, generator=torch.Generator().manual_seed(0))  # wishes differ by 2, so ties only
baskets["true tastes, no popularity"] = recalls(lambda i, *_: tie(shops[i][3]))
baskets["true tastes and popularity"] = recalls(lambda i, *_: shops[i][3] + shops[i][4])
for name, found in baskets.items():
    print(f"{name}: {statistics.mean(found):.3f}")
assert max(baskets["true tastes, no popularity"]) < min(baskets["popularity"]) - 0.03  # claim: the truth is not enough
assert min(baskets["true tastes and popularity"]) > max(baskets["popularity"]) + 0.08  # claim: both together are

# %% [markdown]
# Was your range wide enough? Who knows every customer's taste, and nothing else, recommends *worse* than who knows
# nothing about anybody and lists what sells. Each taste has dozens of items, and most of them are rarely bought. The last row
# is the ceiling: nobody can do better than this.
#
# Now learn. Views: two random parts of the known basket. The encoder is the mean of item vectors. It is the code of section
# 2, with other numbers. The baseline is a count: which items are **bought together**, divided by the roots of how often
# each is bought. No other way to count that we tried was clearly better.

# %%
def item_vectors(known, seed, temperature=0.5):
    torch.manual_seed(seed)
    encoder = nn.EmbeddingBag(ITEMS + 1, 32, mode="mean", padding_idx=0)
    batch = lambda draw: two_parts(known[torch.randint(len(known), (256,), generator=draw)] + 1, draw)
    learn(encoder, batch, seed, steps=250, rate=0.02, temperature=temperature)
    return encoder.weight[1:].detach(), encoder(known + 1).detach()  # of items, of baskets


vectors = [item_vectors(s[0], i) for i, s in enumerate(shops)]
cosines = [F.normalize(baskets_) @ F.normalize(items).T for items, baskets_ in vectors]


def together(mark):
    pairs = (mark.T.float() @ mark.float()).fill_diagonal_(0)
    sold = mark.sum(0).float().clamp(min=1)
    return mark.float() @ (pairs / (sold[:, None] * sold).sqrt())


# %% [markdown]
# Recommend the items whose vectors are most similar to the basket. **Predict:** above or below popularity?

# %%
my_prediction = None

# %%
baskets["bought together"] = recalls(lambda i, known, mark: together(mark))
baskets["nt_xent: cosine"] = recalls(lambda i, *_: cosines[i])
log_sold = [s[1].sum(0).clamp(min=0.5).log() for s in shops]
baskets["nt_xent: cosine / τ + log of popularity"] = recalls(lambda i, *_: cosines[i] / 0.5 + log_sold[i])
order = sorted(baskets, key=lambda name: -statistics.mean(baskets[name]))
show_table(["recall@10", *(f"shop {i}" for i in range(3))], [[n, *(f"{x:.3f}" for x in baskets[n])] for n in order])
print("You wrote:", my_prediction or "nothing yet")

# %%
low, high = baskets["nt_xent: cosine"], baskets["nt_xent: cosine / τ + log of popularity"]
assert max(low) < min(baskets["popularity"])  # claim: the learned cosine alone loses to popularity ...
assert min(high) > max(baskets["popularity"]) + 0.05  # ... and with popularity put back it wins clearly ...
assert all(a > b + 0.005 for a, b in zip(high, baskets["bought together"]))  # ... and beats the count, by little

# %% [markdown]
# The learned cosine alone loses to a plain list of what is popular. It is a defeat, and the most instructive number of this notebook. Why?
#
# `nt_xent` asks: *which of these halves belongs to this half?* A popular item is in many halves. It says little about
# who belongs together, so the loss gives it little. The best possible answer to this question is not "how often are a
# and b together" but "how *much more often than by chance*". This is a **density ratio** (CPC, arXiv 1807.03748): the best answer
# divides popularity out. For a search this is good: you want what fits, not what everybody buys. For a shop it is bad: what is popular is
# bought. (Not all of it is gone here: the learned
# cosine beats the oracle that knows the tastes and no popularity, so some of it is left.)
#
# But we know what should be divided away, so we can put it back. What the loss learns is the cosine divided by the temperature τ,
# a logarithm. So add the logarithm of the popularity. No training, one line, and the defeat becomes the best list that was
# not made by an oracle. (We did not tune the weight of this term. It is the one that the theory gives.)
#
# Is the known truth in the vectors?

# %%
items, _ = vectors[0]
mark = shops[0][1].float()
purchases = F.normalize(mark - mark.mean(0), dim=0).T  # an item as the list of its buyers
share = lambda x: (taste[maps.neighbours(x, k=10)] == taste[:, None]).double().mean().item()
nearest = {"bought by the same": share(purchases), "nt_xent": share(F.normalize(items))}
for name, same in nearest.items():
    print(f"{name}: of an item's 10 nearest, {same:.0%} serve the same taste (by luck {1 / TASTES:.0%})")
assert nearest["nt_xent"] > max(0.5, nearest["bought by the same"] + 0.05)  # claim: the neighbours know the tastes

# %%
figure = plots.map2d(maps.tsne(F.normalize(items)), taste, names=[f"taste {i + 1}" for i in range(TASTES)], method="t-SNE")
figure.caption = (
    f"t-SNE of {ITEMS} item vectors, learned from baskets; colour is the taste that an item serves, which nobody told. "
    "How many groups do you see, and who sits in the wrong one?"
)
figure.alt = f"Scatter plot of {ITEMS} items in groups; the groups have one colour each, with a few points of others."
figure

# %% [markdown]
# The tastes are there, though no customer named one.
#
# **Not shown here:** a real shop. Ours was made as the loss would wish: tastes and popularity are added, nothing changes in
# time, and every basket has 14 items. In a real shop a list also *makes* popularity: what is recommended is
# bought, and recommended again. No measurement on old baskets sees this.
#
# ## 4. Tracking (14 minutes, and 10 for an exercise)
#
# A film: one shape moves over a textured ground, turns and changes its size. On its way it passes behind another shape,
# and two more lie around. You are shown the first frame, and where the shape is. Where is it in all others?
#
# First the film. A shape is a colour and a mask, put on the frame by one small matrix per frame (as the views of notebook 02).

# %%
SIDE, FRAMES, WINDOW = 64, 24, 20


def place(x, y, size, turn):
    """(T,) each -> (T, 2, 3): where a pixel of the new picture is taken from. y points down."""
    cos, sin = turn.cos() / size, turn.sin() / size
    return torch.stack([cos, -sin, sin * y - cos * x, sin, cos, -sin * x - cos * y], 1).view(-1, 2, 3)


def put(frames, kind, seed, *where):
    """Paint a shape into all frames (T, 3, H, W); also gives its mask (T, 1, H, W)."""
    one = sslkit.datasets.shapes(8, seed=seed, size=(0.75, 0.75), x=(0, 0), y=(0, 0), angle=(0, 0), masks=True)
    picture, mask = one.images[kind] / 255, one.masks[kind] / 255
    grid = F.affine_grid(place(*where), (FRAMES, 1, SIDE, SIDE), align_corners=False)
    mask_there = F.grid_sample(mask.expand(FRAMES, 1, 32, 32), grid, align_corners=False)
    colour = (picture * mask).sum((1, 2)) / mask.sum()
    return torch.lerp(frames, colour[:, None, None], mask_there), mask_there


# %%
def film(seed):
    draw = torch.Generator().manual_seed(seed)
    u = lambda low, high: low + (high - low) * torch.rand(1, generator=draw)
    kind, p, still = torch.randperm(8, generator=draw), torch.linspace(0, 1, FRAMES), torch.ones(FRAMES)
    start, end = u(-0.5, 0.5), u(-0.5, 0.5)
    x, y, size = 1.44 * p - 0.72, start + (end - start) * p, 0.35 * u(0.7, 1.4) ** p
    turn = u(0, 2 * math.pi) + u(0.7, 1.6) * u(-1, 1).sign() * p  # in radians: 40 to 90 degrees in a film
    frames = (sslkit.datasets.shapes(1, resolution=SIDE, seed=seed, x=(9, 9)).images / 255).expand(FRAMES, 3, SIDE, SIDE)
    for i, side in ((1, -1), (2, 1)):  # two bystanders; the shape of the ground's picture is outside of it
        spot = u(-0.7, 0.7) * still, side * u(0.6, 0.75) * still
        frames, _ = put(frames, kind[i], seed + i, *spot, 0.35 * still, u(0, 6) * still)
    frames, mine = put(frames, kind[0], seed, x, y, size, turn)
    frames, front = put(frames, kind[3], seed + 3, 0 * still, (start + end) / 2 * still, 0.5 * still, u(0, 6) * still)
    seen = (mine * (1 - front)).sum((1, 2, 3)) / mine.sum((1, 2, 3))  # the visible share
    return frames, torch.stack([1 + y, 1 + x], 1) * SIDE / 2, seen  # with the true centre: row, column


# %%
films = [film(1000 + 10 * i) for i in range(24)]
hidden = torch.stack([seen.min() for _, _, seen in films])
print(f"{len(films)} films; at one moment more than half is hidden in {(hidden < 0.5).sum()}, all of it in {(hidden < 0.05).sum()}")
frames, centres, seen = films[0]
moments = [0, 6, seen.argmin().item(), 17, 23]
figure = plots.repainted(films[0][0][moments], {f"film {i}": films[i][0][moments] for i in range(1, 5)}, first="film 0")
figure.caption = (
    "Five films, a column each, with five moments from top to bottom. One shape crosses from left to right, turns and grows or "
    "shrinks; in the middle another one hides it."
)
figure.alt = "Grid of frames: coloured shapes on textured grounds; in the middle rows the moving shape is partly or wholly hidden."
figure

# %% [markdown]
# The tracker is as simple as possible. Cut the window around the shape out of the first frame: the **template**. In every
# other frame look at *all* windows, and take the most similar one. There is no model of motion, and no memory. So
# everything depends on one question: what is similar?
#
# The classical answer is the **normalised correlation** of the pixels.
#
# ### Exercise 14b (10 minutes)
#
# Hint: a correlation does not change when a window gets brighter, or when its contrast grows.

# %%
def correlation(windows, template):
    """Windows (N, C, H, W) and a template (C, H, W). N numbers, between -1 and 1: subtract from each window the mean
    of all its C·H·W numbers, do the same with the template, multiply and sum, and divide by the lengths of both
    (the roots of their sums of squares, after the means were subtracted)."""
    return None  # your lines here


# %%
check("14b", correlation)

# %%
def template_of(frames, centres):
    top, left = (centres[0] - WINDOW / 2).round().long().clamp(0, SIDE - WINDOW).tolist()
    return frames[:1, :, top : top + WINDOW, left : left + WINDOW]  # (1, 3, 20, 20)


def by_pixels(frames, templates):
    """The correlation of each window, two pixels apart, with the best of K templates: -> (T, 23, 23)."""
    cut = frames.unfold(2, WINDOW, 2).unfold(3, WINDOW, 2).permute(0, 2, 3, 1, 4, 5).flatten(3)
    w, t = (x - x.mean(-1, keepdim=True) for x in (cut, templates.flatten(1)))
    return (F.normalize(w, dim=-1) @ F.normalize(t, dim=-1).T).amax(-1)


some = frames.unfold(2, WINDOW, 2).unfold(3, WINDOW, 2)[0].permute(1, 2, 0, 3, 4).flatten(0, 1)
template = template_of(frames, centres)
assert torch.allclose(find("14b").reference(some, template[0]), by_pixels(frames[:1], template).flatten(), atol=1e-4)

# %% [markdown]
# The shape turns and grows, so one template is not fair to the pixels. The second baseline compares with **turned and
# scaled copies** of the template as well, and takes the best. Here somebody had to know what may happen to the shape.

# %%
def warped(x, x_shift, y_shift, size, turn):
    """Pictures (N, C, H, W), each shifted, scaled and turned."""
    grid = F.affine_grid(place(x_shift, y_shift, size, turn), x.shape, align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def copies(template):
    sizes, turns = torch.tensor([0.75, 1.0, 1.33]), torch.arange(-90, 91, 15).deg2rad()
    size, turn = (v.flatten() for v in torch.meshgrid(sizes, turns, indexing="ij"))
    return warped(template.expand(len(size), -1, -1, -1), 0 * size, 0 * size, size, turn)


# %% [markdown]
# Now the learned answer. The views are what may happen between two frames: a window is turned, scaled and shifted a
# little, at random, twice. Colour is *not* changed: for this task it helps (notebook 09). The windows are cut at random
# places from 40 *other* films. Nobody says where a shape is. Most windows show nothing but ground.
#
# The encoder is a small convolutional network that turns a window of 20 by 20 pixels into 64 numbers. It has no padding, so
# it can be laid over a whole frame, and it computes the vectors of all windows at once.

# %%
pool = torch.cat([film(5000 + 10 * i)[0][::3] for i in range(40)])


def cut(draw, n):
    """n windows, from random frames and places."""
    which = torch.randint(len(pool), (n,), generator=draw)
    top, left = torch.randint(SIDE - WINDOW + 1, (2, n), generator=draw)
    return torch.stack([pool[i, :, a : a + WINDOW, b : b + WINDOW] for i, a, b in zip(which, top, left)])


def two_views(x, draw):
    n = len(x)
    u = lambda most: most * (2 * torch.rand(n, generator=draw) - 1)
    return [warped(x, u(0.15), u(0.15), u(0.35).exp(), u(math.pi / 3)) for _ in range(2)]


draw = torch.Generator().manual_seed(0)
some = cut(draw, 5)
figure = plots.views_grid(some, two_views(some, draw))
figure.caption = "Five windows (left), and two views of each: turned, scaled and shifted. How many windows show only ground?"
figure

# %%
def network(seed):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 16, 5, stride=2), nn.Conv2d(16, 32, 3), nn.Conv2d(32, 32, 3), nn.Conv2d(32, 64, 4)]
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2], nn.ReLU(), layers[3])


# %% [markdown]
# **Predict before you run.** A frame counts as *found* if the centre of the best window is less than five pixels from the true
# one. (The shape is about 17 pixels wide.) We count frames in which more than half of the shape can be seen. Which share is found by
# pixels, by pixels with turned copies, by the network before and after training?

# %%
my_prediction = None

# %%
with torch.no_grad():
    untrained = [network(seed) for seed in range(3)]
    window = frames[:1, :, 8 : 8 + WINDOW, 30 : 30 + WINDOW]
    assert torch.allclose(untrained[0](window)[0, :, 0, 0], untrained[0](frames[:1])[0, :, 4, 15], atol=1e-5)  # all at once
trained = []
for seed in range(3):
    encoder = network(seed)
    learn(nn.Sequential(encoder, nn.Flatten()), lambda draw: two_views(cut(draw, 96), draw), seed, steps=200, rate=0.003)
    trained.append(encoder)

# %%
def by_network(encoder):
    @torch.no_grad()
    def similarity(frames, templates):
        z, t = F.normalize(encoder(frames), dim=1), F.normalize(encoder(templates), dim=1)
        return torch.einsum("tdyx,kd->tkyx", z, t.flatten(1)).amax(1)

    return similarity


def best_windows(similarity, frames, templates):
    """The centre (row, column) of the most similar window of each frame: -> (T, 2)."""
    s = similarity(frames, templates)
    best = s.flatten(1).argmax(1)
    return 2 * torch.stack([best // s.shape[2], best % s.shape[2]], 1) + WINDOW / 2


# %%
def shares(similarity, more=lambda template: template):
    """For each film: the share of frames found, and of those after the shape was hidden."""
    found = []
    for frames, centres, seen in films:
        right = (best_windows(similarity, frames, more(template_of(frames, centres))) - centres).norm(dim=1) < 5
        visible, number = seen > 0.5, torch.arange(FRAMES)
        after = visible & (number > seen.argmin())
        found.append([right[visible & (number > 0)].double().mean(), right[after].double().mean()])
    return torch.tensor(found)  # (films, 2)


tracks = {"pixels": [shares(by_pixels)], "pixels, turned copies": [shares(by_pixels, copies)]}
tracks["network, untrained"] = [shares(by_network(encoder)) for encoder in untrained]
tracks["network, untrained, turned copies"] = [shares(by_network(encoder), copies) for encoder in untrained]
tracks["network, nt_xent"] = [shares(by_network(encoder)) for encoder in trained]

# %%
def again(runs):
    """In how many films most frames are right after the shape was hidden, mean over seeds."""
    return statistics.mean((run[:, 1] > 0.5).sum().item() for run in runs)


rows = [
    [name, len(runs), *(f"{x:.0%}" for x in torch.stack(runs).mean((0, 1))), f"{again(runs):.1f}"]
    for name, runs in tracks.items()
]
show_table([f"{len(films)} films", "seeds", "frames found", "of those after it was hidden", "films: found again"], rows)
print("You wrote:", my_prediction or "nothing yet")

# %%
ours = torch.stack(tracks["network, nt_xent"])[:, :, 0].mean(0)  # of each film, mean of the seeds
for name in list(tracks)[:-1]:
    gap, half = find("11a").reference(ours, torch.stack(tracks[name])[:, :, 0].mean(0), 2.069)
    print(f"nt_xent - {name}: {gap:+.3f} ± {half:.3f}")
frames_found = {name: [r[:, 0].mean().item() for r in runs] for name, runs in tracks.items()}
figure = plots.race(frames_found, measure="share of the frames found")
figure.caption = "Dots are seeds of the network, a bar is their mean; pixels have no seed. What does training add to the network itself?"
figure

# %%
middle = {name: statistics.mean(shares) for name, shares in frames_found.items()}
assert middle["network, nt_xent"] > middle["pixels"] + 0.15  # claim: much better than one template of pixels ...
assert middle["network, nt_xent"] > middle["pixels, turned copies"] + 0.1  # ... than many templates ...
assert middle["network, nt_xent"] > middle["network, untrained"] + 0.06  # ... and than the same network untrained
assert middle["network, untrained"] > middle["pixels"] + 0.03  # claim: no training at all beats pixels, too

# %% [markdown]
# "Found again" means: in more than half of the frames after the shape was hidden. Because the tracker has no memory, being
# hidden does not disturb it: as soon as the shape is back, it looks like itself again. What fails is *similarity*: the last
# window has another turn and another size than the first.
#
# The lines with ± are intervals over the films (95 % interval, as in notebook 11), not over network seeds. Films differ much: with
# other films all numbers move together. So subtract film by film.
#
# Look at the row that is easy to forget: a network with **random weights** is a better tracker than the pixels. It blurs and mixes, and
# what is blurred survives a small turn. Whoever compares a trained network with pixels only gives training the credit
# for this, too. What training added is the gap between the two rows of the same network.

# %%
def boxed(frames, centres):
    """Twice as large, with a black and a white line around each window."""
    big = F.interpolate(frames, scale_factor=2)
    box = torch.full((2 * WINDOW, 2 * WINDOW), torch.nan)  # NaN: leave the picture as it is
    for inset, tone in ((0, 0.0), (2, 1.0), (4, torch.nan)):
        box[inset : len(box) - inset, inset : len(box) - inset] = tone
    for picture, centre in zip(big, centres):
        top, left = (2 * (centre - WINDOW / 2)).long().tolist()
        spot = picture[:, top : top + len(box), left : left + len(box)]
        spot.copy_(torch.where(box.isnan(), spot, box))
    return big


# %%
gap = tracks["network, nt_xent"][0][:, 0] - tracks["pixels"][0][:, 0]
chosen = gap.sort().indices[len(films) // 2].item()  # the film in the middle, not the one that flatters
frames, centres, seen = films[chosen]
moments = [0, 4, 8, seen.argmin().item(), 15, 19, 23]
trackers = {"pixels": by_pixels, "untrained": by_network(untrained[0]), "nt_xent": by_network(trained[0])}
windows = {n: best_windows(s, frames, template_of(frames, centres))[moments] for n, s in trackers.items()}
figure = plots.repainted(frames[moments], {name: boxed(frames[moments], w) for name, w in windows.items()}, first="film")
figure.caption = (
    f"Film {chosen}, seven moments from top to bottom, and the window that each tracker takes. In the row in which the shape is "
    "hidden most, no tracker can be trusted. Where does each lose it, and does it come back?"
)
figure.alt = "Grid of seven frames of a film: the frame, and the same frame with a box where each of three trackers sees the shape."
figure

# %% [markdown]
# In one row, each tracker points at *something*, because it must. A tracker for real use also has to say "not here".
#
# **Not shown here:** real films, with light that changes, with bodies that bend, and with things that look the same. Our shapes have one
# colour, the ground does not move, and the views are made of just those changes that happen in the films. In the paper below,
# nobody writes views by hand: the film itself shows what a thing looks like a moment later.
#
# ## What to remember
#
# * The loss sees two tables of numbers. Views and encoder are yours, and there the knowledge about the data comes in.
# * Look for the strongest simple baseline, not for the weakest: LSA and not only TF-IDF, turned copies and not only one template, the
#   same network untrained.
# * The best answer to a contrastive loss divides popularity away. For search this is good. For recommendations, put it back.
# * "It works on toys" is the end of this notebook and the beginning of the question.
#
# **Further reading.** Clustering short texts: "Supporting clustering with contrastive learning", arXiv 2103.12953.
# Recommendation at large scale: "Self-supervised learning for large-scale item recommendations", arXiv 2007.12865. Tracking without labels:
# "Tracking emerges by colorizing videos", arXiv 1806.09594. One loss for sound, pictures, text and games, and the density ratio:
# "Representation learning with contrastive predictive coding", arXiv 1807.03748.
#
# **This is the end of the course.** You can train without labels, look at what was learned, measure it honestly, and say
# what you did not show. Now take data that nobody has labelled for you, and ask first: what should not matter?
