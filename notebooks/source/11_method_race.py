# %% [markdown]
# # 11 · Method race
#
# **The question: which method, at one budget?**
#
# You know many methods by now. Papers compare them in tables, and the best number is printed in bold. Here is a race of
# nearly all methods of this kit, with one encoder, one budget and one exam. You will read its records, run a small part of
# it again, and ask what such a table may say. The answer is often: less than it seems to say.
#
# After this notebook you can
#
# * say what "the same for all" has to mean in a race, and what cannot be made the same;
# * decide from several seeds whether a difference is real, and say what one seed cannot decide;
# * explain why the best of many numbers is too good to be true;
# * measure whether two rankings agree.
#
# About 60 minutes, 20 of them for two exercises. The code runs in about a minute on two CPU cores, with no network.

# %%
import statistics
from pathlib import Path

import torch
from IPython.display import Markdown, display

import sslkit
from sslkit import doctor, evaluation, plots, race, recipes, widgets
from sslkit.exercises import check, find

print("sslkit", sslkit.__version__)


def show_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    display(Markdown("\n".join(lines)))


# %% [markdown]
# ## 1. What is a fair race? (8 minutes)
#
# The same pictures, the same encoder from the same start, the same exam: this is easy to agree on. But the same *what* of
# training? Many tables count steps or epochs. A step is not the same amount of work in each method:

# %%
COST = doctor.costs()["methods"]  # seconds of a step, as multiples of SimCLR's; measured, on one thread
some = ("moco", "autoencoder", "simclr", "byol", "swav", "dino", "rotation", race.ON_VIT)
assert COST["moco"] < 1 < 1.3 < COST["dino"]  # claim: equal steps are not equal minutes
show_table(
    ["method", "a step costs", "steps in the time of 1,000 steps of SimCLR"],
    [[name, f"{COST[name]:.2f}", f"{race.fair_steps(name, 1, 1000 / 60):,}"] for name in some],
)

# %% [markdown]
# MoCo sends only one of its two views through the backward pass. BYOL and DINO also ask a teacher about every view. Rotation turns each picture four times. A transformer costs several times what our small ResNet costs.
#
# So whoever counts *steps* gives some methods more time than others. How much is this worth? Suppose somebody races DINO
# and SimCLR with equal steps. In the time that DINO takes for them, SimCLR could have made more. We train SimCLR both ways.
#
# **Predict before you run.** Three seeds, small pictures, a narrow encoder. How much better is the linear probe of SimCLR
# when it gets the *minutes* of DINO and not its *steps*? (Chance is 1/8.)

# %%
my_prediction = None

# %%
data = sslkit.datasets.load("shapes", n=8000, resolution=16)
SEEDS = range(3)  # try: range(9), with some minutes of patience
STEPS = 60  # of SimCLR


def fair(name):
    return round(STEPS / COST[name])


def live(name, seed, *, steps=None, draws=None):
    """Train an entrant for its fair number of steps; draws: another seed for batches and views, from the same start."""
    encoder = recipes.encoder(data, seed=seed, widths=(16, 32, 64))
    method = recipes.method(name, data, seed=seed, encoder=encoder)
    how = {"batch_size": 128, "precision": "float32", "marks": 0, "progress": False}
    return sslkit.pretrain(method, data, steps=steps or fair(name), seed=seed if draws is None else draws, **how)


# %%
def exam(run):
    parts = (data.train, data.val, data.test)
    train, val, test = (evaluation.features(run.encoder, part) for part in parts)
    labels = data.train.labels, data.test.labels
    return evaluation.linear_probe(train, labels[0], test, labels[1], val_x=val, val_y=data.val.labels)


runs = {"simclr": [live("simclr", seed) for seed in SEEDS]}
scores = {"simclr": [exam(run) for run in runs["simclr"]]}
hurried = [exam(live("simclr", seed, steps=fair("dino"))) for seed in SEEDS]
mean = lambda scores: statistics.mean(map(float, scores))
assert mean(scores["simclr"]) > mean(hurried) + 0.01  # what one would like to claim; section 4 asks whether one may
ways = {f"{fair('dino')}: the steps of DINO": hurried, f"{STEPS}: the minutes of DINO": scores["simclr"]}
show_table(["SimCLR, steps", *(f"seed {s}" for s in SEEDS), "mean"], [[w, *x, f"{mean(x):.2f}"] for w, x in ways.items()])

# %% [markdown]
# Same method, same network, same exam. The second row had more time, and nothing else. In a table with equal steps DINO gets
# such a gift of time, and nobody sees it. (Are three seeds enough to believe that it is worth something? See section 4.)
#
# The race of this kit counts **minutes**, and turns them into steps with the costs above, so that a busy computer does not
# spoil a row. Here is what is the same, and what is not:
#
# | | in this race |
# |---|---|
# | pictures, splits, exam | the same; choices on the validation split, the test split once |
# | encoder and its start | the same for a seed. MAE needs a transformer, so `simclr on ViT` runs beside it |
# | time | about the same minutes: a cost is measured, and known to a tenth (`dcl` and `dclw` do the same work; compare their steps) |
# | views | SimCLR's wherever two views are compared (DINO and SwAV without the small crops of their papers, which need longer); who paints has other views, because it must |
# | batch, learning rate, schedule | the same for all (BiGAN and MAE take smaller steps), so not the best for each |
# | labels | none, except for `supcon`, which sees them all. It stands in the table and is not ranked below |
# | **care** | **not the same.** The views, the rate and the batch were chosen with SimCLR in mind; for five others a few settings were tried |
#
# The last row is the most common unfairness in tables, and the hardest to see. The home team gets months of tuning, the
# guests get their default settings. We say it here because we cannot undo it.
#
# ## 2. The table (7 minutes)
#
# The big race took hours, so it was run once, with `python benchmarks/race.py`. Each row left a record, and we read the
# records. Some names are new:
#
# * `dcl`, `dclw`: NT-Xent without the partner in the denominator; `dclw` also weights the pairs;
# * `triplet`: the partner must be nearer than another picture, by a margin;
# * `nnclr`: the partner is the nearest neighbour in a queue;
# * `w_mse`: makes the directions of a batch uncorrelated and equally wide, then pulls;
# * `lejepa`: pulls, and makes the cloud of embeddings normal;
# * `critic_pairs`, `critic_nce`: a small trained network in the place of the cosine;
# * `article`: the method of the founding article.

# %%
FOLDER = Path("../benchmarks/records/race")
BASELINES = ("random encoder", "raw pixels", "PCA")
UNRANKED = (*BASELINES, "supcon")  # supcon has seen the labels
records = race.read(FOLDER)
board = {}  # {data set: {method or baseline: {seed: {measure: its value}}}}
for r in records:
    for column, values in r["columns"].items():
        if column != "chance":
            who = r["method"] if column == "this encoder" else column
            board.setdefault(r["data"], {}).setdefault(who, {})[r["seed"]] = values

print("minutes of training for each row:", race.MINUTES)
if not records:
    print(f"No records in {FOLDER}: they come with the repository. Cells that read them show nothing, all others work.")
for name, table in board.items():
    if found := [len(seeds) for who, seeds in table.items() if who not in BASELINES]:
        fewest, most = min(found), max(found)
        seeds = "one seed" if most == 1 else f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"
        print(f"{name}: {len(found)} of {len(race.ENTRANTS)} methods, {seeds} each")

# %% [markdown]
# If methods are missing, the race was not finished when this notebook was built, and nothing is said about them.
#
# **Predict before you run.** Who has the best linear probe on `shapes`? And how many methods do you expect *below* the
# encoder that was never trained? The card takes the first answer.

# %%
def value(values, measure):
    """Of {measure: a number, or a score with its interval}."""
    return values[measure]["value"] if isinstance(values[measure], dict) else values[measure]


def average(seeds, measure="linear probe"):
    return statistics.mean(value(values, measure) for values in seeds.values())


def ranking(table, measure="linear probe", without=UNRANKED):
    """The names, best first."""
    return sorted(table.keys() - set(without), key=lambda who: (-average(table[who], measure), who))


question = "Whose linear probe stands first on shapes?"
widgets.Predict(question, lambda: ranking(board["shapes"])[0], choices=[n for n in race.ENTRANTS if n != "supcon"])

# %% [markdown]
# In the table ± is the standard deviation of the seeds, and with one seed there is none. It is no interval; section 4 makes one.

# %%
if records:
    display(Markdown(race.tables(records)))

# %%
for figure in race.figures(records).values():
    display(figure)

# %% [markdown]
# In italics and as lines: what must be beaten. The **random encoder** is the same network, never trained. **Raw pixels**
# and **PCA** use no network at all. Which of them is the strongest? It depends on the exam. (`supcon` has seen the labels:
# read its row as what labels are worth, not as a place in the ranking.)

# %%
for name, table in board.items():
    known = [who for who in BASELINES if who in table]
    best = {m: max(known, key=lambda who, m=m: average(table[who], m)) for m in ("linear probe", "kNN") if known}
    print(f"{name}:", ", ".join(f"the best baseline by {m} is {who}" for m, who in best.items()))
if "random encoder" in board.get("shapes", {}):
    lines = {m: [average(board["shapes"][who], m) for who in BASELINES[:2]] for m in ("linear probe", "kNN")}
    assert lines["linear probe"][0] > lines["linear probe"][1] + 0.03  # claim: a random network helps a probe ...
    assert lines["kNN"][0] < lines["kNN"][1] - 0.1  # claim: ... and ruins the neighbours

# %% [markdown]
# Do not read the ranking yet. Look for the first question that such a table should raise: how many seeds stand behind a
# row? With another seed the same method has another number. By how much?
#
# ## 3. Two rows again (6 minutes)
#
# The minutes of the race are out of reach in a lesson. But we can run two of its rows ourselves, on smaller pictures and
# for some seconds each: SimCLR and the autoencoder, which paints. And we add something that a race should always have:
# SimCLR against *itself*. It starts from the same weights, and only draws other batches and other views. Engineers call
# this an **A/A test**. We know that nothing is better here, so it shows how large a
# difference can be by luck alone.

# %%
runs["autoencoder"] = [live("autoencoder", seed) for seed in SEEDS]
runs["simclr again"] = [live("simclr", seed, draws=100 + seed) for seed in SEEDS]
for name in ("autoencoder", "simclr again"):
    scores[name] = [exam(run) for run in runs[name]]
show_table(["linear probe", *(f"seed {s}" for s in SEEDS), "mean"], [[n, *x, f"{mean(x):.2f}"] for n, x in scores.items()])

# %%
first, second, again = (torch.tensor([float(s) for s in scores[n]]) for n in ("simclr", "autoencoder", "simclr again"))
assert (first > second).all()  # claim: in so short a time comparing beats painting, with every seed ...
assert (first - second).mean() > (first - again).mean().abs() + 0.01  # ... by more than SimCLR differs from itself
assert (first != again).any()
print(f"largest difference of SimCLR from itself: {(first - again).abs().max():.3f}")
theirs = board.get("shapes", {})
if {"simclr", "autoencoder"} <= theirs.keys():
    ahead = average(theirs["simclr"]) - average(theirs["autoencoder"])
    print(f"in the records SimCLR is ahead by {ahead:+.2f}:", "the same order" if ahead > 0 else "the other order")
else:
    print("The records do not have both methods yet, so there is nothing to compare with.")

# %% [markdown]
# What agrees or disagrees here is the *order* of two rows. The numbers cannot agree: pictures, network and time are others.
#
# ## 4. Is a difference real? (7 minutes, and 10 for an exercise)
#
# Two kinds of luck are in a number. **Test pictures**: with others it would be a little different; the interval behind a
# score is about this. **The seed**: another start, other batches, other views. No interval over pictures knows about it;
# there must be several seeds.
#
# With S seeds for both methods, subtract *seed by seed*. What a seed does to both (the same start, the same batches, the
# same test pictures) falls out. Then ask how well the mean of the S differences is known: its **standard error** is their
# standard deviation divided by √S. The interval reaches t standard errors to each side. t is near 2 with many seeds. With
# few seeds it is larger, because the standard deviation is only a guess from few numbers. (It is Student's t, and tables
# have it.)
#
# ### Exercise 11a (10 minutes)

# %%
def paired_difference(a, b, t):
    """Scores of two methods, (S,) each; a[s] and b[s] have the same seed. Two numbers: how far a is ahead of b
    on average, and half the width of the interval: t times the standard error of the mean difference, which is
    the standard deviation of the differences (with S - 1) divided by √S."""
    return None  # your lines here


# %%
check("11a", paired_difference)

# %%
paired = find("11a").reference  # the package's answer to the exercise; do not look yet
T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306}  # 95 % interval, by number of seeds
slow = torch.tensor([float(score) for score in hurried])
for name, other in (("autoencoder", second), ("SimCLR itself", again), ("SimCLR with the steps of DINO", slow)):
    gap, half = paired(first, other, T[len(SEEDS)])
    print(f"SimCLR - {name}: {gap:+.3f}, interval ± {half:.3f}:", "0 is inside" if abs(gap) <= half else "0 is outside")

# %% [markdown]
# If 0 is inside, the two *cannot be told apart* with these data. This does not say that they are equal. Look at the last
# line. It is our own claim of section 1: time alone helps. Compare it with the line above: how far does SimCLR differ from
# *itself*? If 0 is inside, three seeds were too few to show that time helps, however plausible it sounds. More seeds would
# decide.
#
# Now the race. Where two methods have several seeds in common, we take their paired difference. (With two seeds t is so
# large that next to nothing is clear. Two numbers cannot say how far numbers stray.) Where they have one seed, all we have
# is the two intervals over test pictures, and we add them like independent errors: the root of the sum of their squares.
# This rule is too strict, because both methods saw the *same* test pictures. And it is too kind, because it knows nothing
# about seeds.

# %%
def difference(a, b, measure):
    """Of {seed: {measure: value}}: how far a is ahead of b, and half the width of its interval."""
    seeds = sorted(a.keys() & b.keys())
    x, y = ([one[seed][measure] for seed in seeds] for one in (a, b))
    if len(seeds) == 1:
        halves = [(score["high"] - score["low"]) / 2 for score in (*x, *y)]
        return x[0]["value"] - y[0]["value"], sum(half**2 for half in halves) ** 0.5
    values = (torch.tensor([score["value"] for score in scores], dtype=torch.float64) for scores in (x, y))
    return paired(*values, T[min(len(seeds), max(T))])


def verdicts(table, measure, rival):
    """{verdict: the methods, best first}, each compared with one rival."""
    found = {"clearly better": [], "not to be told apart": [], "clearly worse": [], "too few seeds to say": []}
    for who in ranking(table, measure):
        common = table[who].keys() & table[rival].keys()
        if who != rival and common:
            gap, half = difference(table[who], table[rival], measure)
            verdict = 0 if gap > half else 2 if gap < -half else 3 if len(common) == 2 else 1
            found[list(found)[verdict]].append(f"{who} ({gap:+.2f} ± {half:.2f})" if verdict % 2 else who)
    return found


# %%
def tell(name, measure, rival, found):
    parts = [f"**{verdict}**: {', '.join(who) or 'nobody'}" for verdict, who in found.items() if who or "few" not in verdict]
    entries = [entry.split(" (")[0] for entry in sum(found.values(), [])]
    common = {len(board[name][who].keys() & board[name][rival].keys()) for who in entries}
    rules = ["one seed, intervals over test pictures" if n == 1 else f"{n} seeds, paired" for n in sorted(common)]
    display(Markdown(f"`{name}`, {measure}, beside **{rival}** ({' or '.join(rules)}). " + "; ".join(parts) + "."))


for name, table in board.items():
    known = [who for who in BASELINES if who in table]
    for measure in ("linear probe", "kNN"):
        if known and ranking(table):
            rival = max(known, key=lambda who: average(table[who], measure))  # the best one, not the one that flatters
            tell(name, measure, rival, verdicts(table, measure, rival))
if "PCA" in board.get("emoji", {}):
    neighbours = {who: average(seeds, "kNN") for who, seeds in board["emoji"].items()}
    assert neighbours["PCA"] == max(neighbours.values())  # claim: on emoji no network is as good as none, for this exam

# %% [markdown]
# Look at `emoji` first. A vote on the principal components of the pixels, with no network at all, is above every method. By the
# rule of notebook 06 (the best of all baselines over all exams) one minute of any method has bought no better vote of neighbours.
# By the probe, and with few labels, most have gained a little. (And the random encoder is a little too low: its batch norms have
# seen no picture, see notebook 08.)
#
# Somebody may stand below a baseline, or not clearly above it. Is that method bad? The table cannot say so. It
# says: *with these settings, in these minutes, on these pictures*. There are good reasons to be late:
#
# * `article` has a loss that mostly pulls (notebook 03). `bigan` is a game that needs many more steps (notebook 10).
# * By kNN more methods are late, among them BYOL and DINO. A slow teacher alone cannot be the reason: MoCo has one, too. But
#   MoCo has negatives; BYOL and DINO have nothing to go by except their teacher, and in their papers they train long. This
#   table cannot tell which of it is the cause.
# * MAE became known with large transformers and very many epochs. And its own baseline is an *untrained transformer*, which
#   is not in the table.
# * SwAV and DINO have prototypes for large data sets; others have a weight in the loss that wants to be tuned.
# * A task about shapes is not what a painter learns first (notebook 10).
#
# There may be a bug, too. A race is a good place to look for one, and a bad place to conclude that there is none.
#
# And the first one? Let us compare everybody with the winner.

# %%
for name, table in board.items():
    if len(order := ranking(table)) > 1:
        tell(name, "linear probe", order[0], verdicts(table, "linear probe", order[0]))

# %% [markdown]
# Read the gap before the verdict. Whoever is near the winner *and* not to be told apart from it shares the first place, as far
# as we know. A large gap with a larger interval only says that seeds differ much. And "clearly" is a large word:
# in so many comparisons, each with a 95 % interval, one or the other is outside by luck alone. There is a second trap, in
# the word *winner*.
#
# ## 5. The winner's curse (6 minutes)
#
# Suppose that all methods are equally good, and that their numbers differ by luck only. Somebody still stands first.
# **Predict before you run.** Luck moves a number by one standard deviation. How far above the true score is the first of so
# many?

# %%
N = len(race.ENTRANTS)
luck = torch.randn(20_000, N, 3, generator=torch.Generator().manual_seed(0))  # races, equal methods, seeds


def too_good(methods, seeds):
    """How far the first one is above the true score, in standard deviations of one seed, on average."""
    return luck[:, :methods, :seeds].mean(2).max(1).values.mean().item()


question = f"{N} equal methods, one seed each. How far above the true score is the first one?"
widgets.Predict(question, lambda: too_good(N, 1), unit="standard deviations")

# %%
for n in (2, 8, N):
    print(f"{n} equal methods: one seed {too_good(n, 1):.2f}, mean of three seeds {too_good(n, 3):.2f} too good")
assert 1.8 < too_good(N, 1) < 2.2  # claim: the best of equals is two standard deviations too good ...
assert 1.6 < too_good(N, 1) / too_good(N, 3) < 1.9  # ... and with three seeds less, by the root of three

noise = (torch.stack([first, second, again]).var(1).mean() ** 0.5).item()  # of one seed, in section 3
equals = {f"method {letter}": mean(scores["simclr"]) + noise * luck[0, i] for i, letter in enumerate("ABCDEFGHIJ")}
figure = plots.race(equals, baselines={"the true score of all ten": mean(scores["simclr"])})
figure.caption = "Ten equal methods, three seeds each, with the noise of our own runs. The first and the last differ by luck alone."
figure

# %% [markdown]
# This race has a first and a last, like any other. If somebody showed it to you, which story would you tell about the first?
#
# This is the **winner's curse**. The first one is there because it is good, *and* because it was lucky. The more methods
# take part, the more luck the first one had. A paper that tries many variants and reports the best has the same curse, and
# the reader cannot see it.
#
# More seeds help. There is also a cure: choose the winner on some seeds, and report its score on *others*. It is the rule
# of notebook 06: choose in one place, measure in another.

# %%
chosen = luck[:, :, :2].mean(2).argmax(1, keepdim=True)  # the winner after two seeds
fresh = luck[:, :, 2].gather(1, chosen).mean().item()  # and its third
assert abs(fresh) < 0.05  # claim: on a fresh seed the winner is not too good
print(f"{N} equal methods, chosen on two seeds: too good by {too_good(N, 2):.2f}, on a third seed by {fresh:.2f}")
for name, table in board.items():
    early = {who: {min(seeds): seeds[min(seeds)]} for who, seeds in table.items()}
    who = next(iter(ranking(early)), "nobody")
    if later := {s: v for s, v in table.get(who, {}).items() if s not in early[who]}:
        print(f"{name}: {who} won with its first seed ({average(early[who]):.3f}); other seeds: {average(later):.3f}")
    else:
        print(f"{name}: the first one has no second seed yet, so nobody can say by how much its number is too good")

# %% [markdown]
# ## 6. What one table does not say (6 minutes, and 10 for an exercise)
#
# A method is more than one number. The same records have kNN, few labels and RankMe. Do they put the methods in the same
# order? To measure it, replace every score by its **rank**, and correlate the ranks. 1 is the same order, -1 the opposite
# one, and two rankings that know nothing of each other are near 0.
#
# Hint: the rank of a value is the number of smaller values, plus half of (the number of equal values + 1).
# `x[:, None] > x` compares all with all.
#
# ### Exercise 11b (10 minutes)

# %%
def rank_correlation(x, y):
    """Two scores of the same N methods, (N,) each. Give every method its rank among the N, once by x and once
    by y; equal values share the mean of the ranks that they take together. One number: the correlation of the
    ranks, 1 for the same order and -1 for the opposite one (Spearman's)."""
    return None  # your lines here


# %%
check("11b", rank_correlation)

# %% [markdown]
# **Predict before you run.** Which of kNN, 10 labels per class and RankMe agrees best with the linear probe? Which one
# least? RankMe needs no label: it counts the directions that the features use.

# %%
my_prediction = None

# %%
agreement = find("11b").reference  # the package's answer to the exercise; do not look yet


def agree(one, other, measures):
    """How well two tables agree, each by its own measure, on the methods that both have."""
    both = sorted((one.keys() & other.keys()) - set(UNRANKED))
    ranks = [torch.tensor([average(t[who], m) for who in both]) for t, m in zip((one, other), measures)]
    return f"{agreement(*ranks):+.2f} ({len(both)} methods)" if len(both) >= 5 else f"{len(both)} methods are too few"


pairs = [("linear probe", other) for other in ("kNN", "10 labels per class", "RankMe")]
rows = [[f"{name}: {' and '.join(m)}", agree(t, t, m)] for name, t in board.items() for m in pairs]
names = list(board)
rows += [
    [f"linear probe: {a} and {b}", agree(board[a], board[b], ("linear probe",) * 2)]
    for i, a in enumerate(names) for b in names[i + 1 :]
]  # fmt: skip
show_table(["do they agree?", "rank correlation"], rows)
for name, table in board.items():
    probes = [next(iter(table[who].values()))["linear probe"] for who in ranking(table)]
    middle = statistics.median(score["value"] for score in probes)
    spread = 1.48 * statistics.median(abs(score["value"] - middle) for score in probes)
    error = statistics.mean((score["high"] - score["low"]) / 2 / 1.96 for score in probes)
    print(f"{name}: methods differ by {spread:.3f}, and one score is known to {error:.3f} (standard deviations)")

# %% [markdown]
# Is there an order at all? The last lines show two numbers for each data set: how far the methods differ, and how exactly one score is known. (1.48
# times the median distance from the median is a standard deviation that a few outsiders do not spoil.) Where the two are about equal, many places
# in the ranking are luck, as in section 5. But be careful: the second number allows for *other* test pictures. Here all methods took the
# *same* ones, which moves them up and down together, so a difference is known more exactly (notebook 06). So look at the correlations, too:
# a ranking by luck agrees with nothing.
#
# A correlation of few methods is a noisy number itself; do not make much of its second digit. Where an order is real and two
# measures disagree, neither is wrong. A linear probe asks which directions can be *found* with many labels. kNN asks what stands out *without*
# any training. RankMe asks how many directions there are, whatever they are good for. (Look for raw pixels in the big
# table: by far the most, and they have 3,072 dimensions, where the encoders have 128. Do not compare across widths.) And if there is one data set only, nothing is known about others.
#
# One number is missing on purpose: the **loss**. Here are those of our own runs, at the end.

# %%
ends = {name: statistics.mean(run.history.column("loss")[1][-1] for run in found) for name, found in runs.items()}
assert ends["autoencoder"] < ends["simclr"] and mean(scores["autoencoder"]) < mean(scores["simclr"])  # claim: the lower
rows = [[name, f"{ends[name]:.3f}", f"{mean(scores[name]):.2f}"] for name in runs]  # loss has the worse probe
show_table(["method", "loss at the end", "linear probe"], rows)

# %% [markdown]
# A squared error of pixels and a logarithm of probabilities have no common unit. Never compare losses between methods.
#
# ## So which method?
#
# Read the table as what it is: some small networks, a few minutes, pictures with a simple secret. For *this* budget the
# methods that are near the first, and not to be told apart from it, are good choices. Then take what a table does not show: how many
# settings a method has, how it fails, what it costs in memory, and whether you understand it. For another budget or other
# pictures the honest answer is: run the race there. `python -m sslkit race --data emoji --minutes 1` does it, and goes on
# where it was stopped.
#
# ## What to remember
#
# * Equal minutes, not equal steps. And ask who was tuned, and for how long.
# * First the baselines, then the seeds, then the ranking. A difference smaller than its interval is no difference yet.
# * Subtract seed by seed. Let a method race against itself.
# * The first of many is too good. Choose on some seeds, report on others.
# * One table is one exam, one data set, one budget. Late is not the same as bad.
#
# **Further reading.** A field looks at its own tables: "A metric learning reality check", arXiv 2003.08505. Seeds and their
# spread: "Deep reinforcement learning that matters", arXiv 1709.06560; "Deep reinforcement learning at the edge of the
# statistical precipice", arXiv 2108.13264. Which lucks are in a benchmark: "Accounting for variance in machine learning
# benchmarks", arXiv 2103.03098. Many methods in one frame: solo-learn, arXiv 2108.01775. RankMe: arXiv 2210.02885.
#
# **Next: 12 · Your pictures.** From a folder of your own to an encoder in a file.
