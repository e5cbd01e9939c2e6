"""Slow, independent references for the losses: plain loops over NumPy float64, written from the papers' formulas.

Nothing here imports sslkit or torch. One loop index per index of the formula, no broadcasting tricks.
"""

from __future__ import annotations

import cmath
import math

import numpy as np


def cosine(u, v) -> float:
    """u·v / (‖u‖ ‖v‖); 0 if one of them is the zero vector, which has no direction."""
    lengths = math.sqrt(sum(a * a for a in u)) * math.sqrt(sum(b * b for b in v))
    return 0.0 if lengths == 0 else sum(a * b for a, b in zip(u, v)) / lengths


def log_sum_exp(values) -> float:
    largest = max(values)
    return largest + math.log(sum(math.exp(value - largest) for value in values))


def nt_xent(z1, z2, temperature) -> float:
    """Algorithm 1 of SimCLR (arXiv 2002.05709), views interleaved as there: 2k and 2k + 1 are the views of image k."""
    z = [np.asarray(view, dtype=np.float64) for pair in zip(z1, z2) for view in pair]

    def ell(i, j):
        others = [cosine(z[i], z[k]) / temperature for k in range(len(z)) if k != i]
        return log_sum_exp(others) - cosine(z[i], z[j]) / temperature

    pairs = range(len(z) // 2)
    return sum(ell(2 * k, 2 * k + 1) + ell(2 * k + 1, 2 * k) for k in pairs) / len(z)


def nt_xent_gradient(z1, z2, temperature):
    """The gradient with respect to z1 and z2 in closed form, for rows that are not zero.

    With unit rows ẑ and P the softmax of the similarities without the diagonal,
    ∂L/∂ẑ = [(P + Pᵀ) ẑ - 2 ẑ_partner] / (2N τ). Through the normalisation the part along ẑ vanishes, 1 / ‖z‖ remains.
    """
    z = np.concatenate([z1, z2]).astype(np.float64)
    n, total = len(z1), len(z)
    lengths = np.array([math.sqrt(sum(a * a for a in row)) for row in z])
    unit = np.array([row / length for row, length in zip(z, lengths)])
    P = np.zeros((total, total))
    for i in range(total):
        logits = {k: float(unit[i] @ unit[k]) / temperature for k in range(total) if k != i}
        normaliser = log_sum_exp(list(logits.values()))
        for k, logit in logits.items():
            P[i, k] = math.exp(logit - normaliser)
    gradient = np.zeros_like(z)
    for i in range(total):
        partner = i + n if i < n else i - n
        g = -2 * unit[partner]
        for k in range(total):
            g = g + (P[i, k] + P[k, i]) * unit[k]
        g = g / (total * temperature)
        gradient[i] = (g - (g @ unit[i]) * unit[i]) / lengths[i]
    return gradient[:n], gradient[n:]


def info_nce(queries, keys, negatives, temperature) -> float:
    """Eq. 1 of MoCo (arXiv 1911.05722): the sum is over one positive and K negatives; None: over the keys of the batch."""
    total = 0.0
    for i, q in enumerate(queries):
        others = [k for j, k in enumerate(keys) if j != i] if negatives is None else negatives
        logits = [cosine(q, k) / temperature for k in (keys[i], *others)]
        total += log_sum_exp(logits) - logits[0]
    return total / len(queries)


def cosine_distance(p, z) -> float:
    """Eq. 1 of SimSiam (arXiv 2011.10566), mean over the batch."""
    return -sum(cosine(u, v) for u, v in zip(p, z)) / len(p)


def byol(p1, p2, t1, t2) -> float:
    """BYOL (arXiv 2006.07733): squared distances between unit vectors, both directions added, mean over the batch."""
    total = 0.0
    for p, t in ((p1, t2), (p2, t1)):
        for u, v in zip(p, t):
            u, v = (np.asarray(w) / math.sqrt(sum(a * a for a in w)) for w in (u, v))
            total += sum((a - b) ** 2 for a, b in zip(u, v)) / len(p)
    return total


def sinkhorn(scores, epsilon=0.05, iterations=3):
    """As in SwAV's main_swav.py (arXiv 2006.09882), K by B, with the exponentials that can overflow."""
    B, K = np.shape(scores)
    Q = [[math.exp(scores[b][k] / epsilon) for b in range(B)] for k in range(K)]
    for _ in range(iterations):
        for k in range(K):
            total = sum(Q[k])
            Q[k] = [value / total / K for value in Q[k]]
        for b in range(B):
            total = sum(Q[k][b] for k in range(K))
            for k in range(K):
                Q[k][b] = Q[k][b] / total / B
    return np.array([[Q[k][b] * B for k in range(K)] for b in range(B)])


def softmax(values):
    normaliser = log_sum_exp(list(values))
    return [math.exp(value - normaliser) for value in values]


def cross_entropy(target, logits) -> float:
    normaliser = log_sum_exp(list(logits))
    return -sum(t * (logit - normaliser) for t, logit in zip(target, logits))


def swapped_prediction(scores, codes, temperature=0.1) -> float:
    """As in the authors' main_swav.py: for each code, the mean over all other views, then the mean over the codes."""
    total = 0.0
    for t, code in enumerate(codes):
        others = [s for s in range(len(scores)) if s != t]
        for s in others:
            each = [cross_entropy(q, [x / temperature for x in row]) for q, row in zip(code, scores[s])]
            total += sum(each) / len(each) / len(others) / len(codes)
    return total


def self_distillation(student, teacher, centre, student_temperature=0.1, teacher_temperature=0.04) -> float:
    """As in the authors' main_dino.py: the sum over all pairs of different views, divided by their number."""
    total, n_loss_terms = 0.0, 0
    for iq, t in enumerate(teacher):
        for v, s in enumerate(student):
            if v == iq:
                continue
            for row_t, row_s in zip(t, s):
                target = softmax([(a - c) / teacher_temperature for a, c in zip(row_t, centre)])
                total += cross_entropy(target, [a / student_temperature for a in row_s]) / len(t)
            n_loss_terms += 1
    return total / n_loss_terms


def vicreg(z1, z2, sim_coeff=25.0, std_coeff=25.0, cov_coeff=1.0) -> dict[str, float]:
    """VICReg (arXiv 2105.04906) with the constants of the authors' code: mean, mean over views, sum over views."""
    n, d = np.shape(z1)
    invariance = sum((z1[i][j] - z2[i][j]) ** 2 for i in range(n) for j in range(d)) / (n * d)
    variance, covariance = 0.0, 0.0
    for z in (z1, z2):
        mean = [sum(z[i][j] for i in range(n)) / n for j in range(d)]

        def cov(j, k, z=z, mean=mean):
            return sum((z[i][j] - mean[j]) * (z[i][k] - mean[k]) for i in range(n)) / (n - 1)

        variance += sum(max(0.0, 1 - math.sqrt(cov(j, j) + 1e-4)) for j in range(d)) / d / 2
        covariance += sum(cov(j, k) ** 2 for j in range(d) for k in range(d) if j != k) / d
    loss = sim_coeff * invariance + std_coeff * variance + cov_coeff * covariance
    return {"loss": loss, "invariance": invariance, "variance": variance, "covariance": covariance}


def sup_con(z1, z2, labels, temperature) -> float:
    """L_out of SupCon (arXiv 2004.11362, eq. 2): for each anchor the mean over its positives is outside the logarithm."""
    z, label = [*z1, *z2], [*labels, *labels]
    total = 0.0
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        logits = {k: cosine(z[i], z[k]) / temperature for k in others}
        normaliser = log_sum_exp(list(logits.values()))
        positives = [k for k in others if label[k] == label[i]]
        total -= sum(logits[p] - normaliser for p in positives) / len(positives)
    return total / len(z)


def decoupled_contrastive(z1, z2, temperature, sigma=None) -> float:
    """DCL (arXiv 2110.06848): each view of each image, against the 2 (n - 1) views of the others; sigma makes it DCLW."""
    n, total = len(z1), 0.0
    weights = [1.0] * n
    if sigma is not None:
        e = [math.exp(cosine(z1[i], z2[i]) / sigma) for i in range(n)]
        weights = [2 - e[i] / (sum(e) / n) for i in range(n)]
    for here, there in ((z1, z2), (z2, z1)):
        for i in range(n):
            negatives = [cosine(here[i], view[k]) / temperature for view in (here, there) for k in range(n) if k != i]
            total += log_sum_exp(negatives) - weights[i] * cosine(here[i], there[i]) / temperature
    return total / (2 * n)


def triplet(z1, z2, margin, hardest=False) -> float:
    """max(0, margin + d(anchor, partner) - d(anchor, other)), d = 1 - cosine, over all triplets or the worst per anchor."""
    n, total = len(z1), 0.0
    for here, there in ((z1, z2), (z2, z1)):
        for i in range(n):
            others = [1 - cosine(here[i], view[k]) for view in (here, there) for k in range(n) if k != i]
            others = [min(others)] if hardest else others
            total += sum(max(0.0, margin + (1 - cosine(here[i], there[i])) - d) for d in others) / len(others)
    return total / (2 * n)


def align_uniform(z1, z2, alpha=2.0, t=2.0, lambda_=1.0) -> dict[str, float]:
    """Alignment and uniformity (arXiv 2005.10242, section 4.1), uniformity averaged over the two views."""
    n = len(z1)
    z1, z2 = ([np.asarray(row) / math.sqrt(sum(a * a for a in row)) for row in z] for z in (z1, z2))
    distance = lambda u, v: math.sqrt(sum((a - b) ** 2 for a, b in zip(u, v)))
    alignment = sum(distance(u, v) ** alpha for u, v in zip(z1, z2)) / n
    uniformity = 0.0
    for z in (z1, z2):
        potential = [math.exp(-t * distance(z[i], z[j]) ** 2) for i in range(n) for j in range(i + 1, n)]
        uniformity += math.log(sum(potential) / len(potential)) / 2
    return {"loss": alignment + lambda_ * uniformity, "alignment": alignment, "uniformity": uniformity}


def barlow_twins(z1, z2, lambda_=0.0051) -> dict[str, float]:
    """Barlow Twins (arXiv 2103.03230, eq. 1 and 2), standardised by the authors' batch norm: variance over n, plus 1e-5."""
    n, d = np.shape(z1)

    def standardised(z, j):
        mean = sum(z[i][j] for i in range(n)) / n
        variance = sum((z[i][j] - mean) ** 2 for i in range(n)) / n
        return [(z[i][j] - mean) / math.sqrt(variance + 1e-5) for i in range(n)]

    invariance = redundancy = 0.0
    for j in range(d):
        for k in range(d):
            c = sum(a * b for a, b in zip(standardised(z1, j), standardised(z2, k))) / n
            if j == k:
                invariance += (1 - c) ** 2
            else:
                redundancy += c**2
    return {"loss": invariance + lambda_ * redundancy, "invariance": invariance, "redundancy": redundancy}


def w_mse(z1, z2, sub_batch=128) -> float:
    """W-MSE (arXiv 2007.06346): whitened by the inverse Cholesky factor of the covariance, then 2 - 2 cosine."""

    def whiten(z):
        n, d = z.shape
        mean = [sum(z[i][j] for i in range(n)) / n for j in range(d)]
        covariance = np.zeros((d, d))
        for j in range(d):
            for k in range(d):
                covariance[j, k] = sum((z[i][j] - mean[j]) * (z[i][k] - mean[k]) for i in range(n)) / (n - 1)
        inverse = np.linalg.inv(np.linalg.cholesky(covariance))
        return [inverse @ (z[i] - mean) for i in range(n)]

    n, total = len(z1), 0.0
    parts = max(1, n // sub_batch)
    for rows in np.array_split(np.arange(n), parts):
        total += sum(2 - 2 * cosine(u, v) for u, v in zip(whiten(z1[rows]), whiten(z2[rows])))
    return total / n


def sigreg(z, directions, t_max=3.0, knots=17) -> float:
    """The Epps-Pulley statistic in each direction, its integral over -t_max to t_max with all 2 knots - 1 points."""
    z, directions = np.asarray(z), np.asarray(directions)
    n, step, total = len(z), t_max / (knots - 1), 0.0
    for a in directions.T:
        a = a / math.sqrt(sum(x * x for x in a))
        values = []
        for k in range(-(knots - 1), knots):
            t = k * step
            normal = math.exp(-t * t / 2)
            seen = sum(cmath.exp(1j * t * float(row @ a)) for row in z) / n
            values.append(abs(seen - normal) ** 2 * normal)
        total += n * step * (sum(values) - values[0] / 2 - values[-1] / 2)
    return total / directions.shape[1]


def lejepa(z1, z2, directions, lambda_=0.02, t_max=3.0, knots=17) -> dict[str, float]:
    """LeJEPA (arXiv 2511.08544, section 5.1), both views compared with their mean, as in the authors' code."""
    n, d = np.shape(z1)
    invariance = 0.0
    for i in range(n):
        for j in range(d):
            centre = (z1[i][j] + z2[i][j]) / 2
            invariance += ((z1[i][j] - centre) ** 2 + (z2[i][j] - centre) ** 2) / (2 * n * d)
    noise = (sigreg(z1, directions, t_max, knots) + sigreg(z2, directions, t_max, knots)) / 2
    return {"loss": (1 - lambda_) * invariance + lambda_ * noise, "invariance": invariance, "sigreg": noise}


def distance_contrast(z1, z2, sigma=1.0, epsilon=1e-3, normalize=False) -> float:
    """The founding article's contrast, written as there: exp, then log."""
    total = 0.0
    for u, v in zip(z1, z2):
        if normalize:
            u, v = (np.asarray(w) / math.sqrt(sum(a * a for a in w)) for w in (u, v))
        d = sum((a - b) ** 2 for a, b in zip(u, v))
        total += 0.5 * (d - math.log(math.exp(-d / sigma) + epsilon))
    return total / len(z1)


def weight_penalty(parameters, p=2.0, weights=None) -> float:
    """The founding article's regulariser: Σ_i w_i (‖θ_i‖₂)^p."""
    total = 0.0
    for i, theta in enumerate(parameters):
        norm = math.sqrt(sum(float(a) ** 2 for a in np.ravel(theta)))
        total += (1.0 if weights is None else weights[i]) * norm**p
    return total


def joint_loss(contrasts, penalty, n_images, lambda_=1.0, omega=1e-4) -> float:
    """The founding article's objective for each pair of a batch, averaged over the pairs."""
    return sum((lambda_ * c + omega * penalty) / (2 * n_images) for c in contrasts) / len(contrasts)


def mean_difference(z1, z2) -> float:
    """The squared length of the mean of the differences between partners."""
    n, d = np.shape(z1)
    return sum((sum(z1[i][j] - z2[i][j] for i in range(n)) / n) ** 2 for j in range(d))


def discrimination(yes, no) -> float:
    """Binary cross-entropy with the probability of a yes, 1 / (1 + e^-score), both sides weighted alike."""
    p = lambda score: 1 / (1 + math.exp(-score))
    a = [-math.log(p(float(score))) for score in np.ravel(yes)]
    b = [-math.log(1 - p(float(score))) for score in np.ravel(no)]
    return (sum(a) / len(a) + sum(b) / len(b)) / 2


def critic_nce(scores) -> float:
    """InfoNCE for a matrix of scores, partners on the diagonal, the mean over both directions."""
    n, total = len(scores), 0.0
    for i in range(n):
        total += log_sum_exp([scores[i][j] for j in range(n)]) - scores[i][i]
        total += log_sum_exp([scores[j][i] for j in range(n)]) - scores[i][i]
    return total / (2 * n)


def reconstruction(output, target, pixels="mean") -> float:
    """Squared error: mean or sum over the numbers of a picture, mean over pictures."""
    total = 0.0
    for painted, true in zip(output, target):
        errors = [(float(a) - float(b)) ** 2 for a, b in zip(np.ravel(painted), np.ravel(true))]
        total += sum(errors) / (len(errors) if pixels == "mean" else 1)
    return total / len(output)


def kl_to_standard_normal(mean, log_variance) -> float:
    """∫ q ln(q / p) for q = N(m, s²), p = N(0, 1) is (s² + m²) / 2 - ½ - ln s; sum over dimensions, mean over pictures."""
    total = 0.0
    for means, logs in zip(mean, log_variance):
        for m, log in zip(means, logs):
            s = math.sqrt(math.exp(log))
            total += (s**2 + m**2) / 2 - 0.5 - math.log(s)
    return total / len(mean)


def negative_elbo(output, target, mean, log_variance, sigma=1.0) -> dict[str, float]:
    """- ln N(target; output, sigma²) without its constant, added over pixels, plus the divergence; mean over pictures."""
    error, kl = reconstruction(output, target, "sum"), kl_to_standard_normal(mean, log_variance)
    return {"loss": error / (2 * sigma**2) + kl, "reconstruction": error, "kl": kl}


def masked_reconstruction(prediction, target, mask, normalize=True, epsilon=1e-6) -> float:
    """Masked autoencoders: mean over the hidden patches of the mean squared error to the patch, standardised by itself."""
    errors = []
    for b in range(len(target)):
        for p in range(len(target[b])):
            patch = [float(value) for value in target[b][p]]
            if normalize:
                mean = sum(patch) / len(patch)
                variance = sum((value - mean) ** 2 for value in patch) / (len(patch) - 1)
                patch = [(value - mean) / math.sqrt(variance + epsilon) for value in patch]
            if mask[b][p]:
                errors.append(sum((guess - t) ** 2 for guess, t in zip(prediction[b][p], patch)) / len(patch))
    return sum(errors) / len(errors)
