"""Losses: pure functions of tensors, each body the formula of its paper.

z1 and z2 are two views of one batch: row i of both belongs to image i. No loss changes its inputs or knows of devices
and processes. Half precision is computed in float32, float64 stays float64.
"""

from sslkit.losses.article import distance_contrast, joint_loss, mean_difference, weight_penalty
from sslkit.losses.contrastive import (
    align_uniform,
    align_uniform_references,
    decoupled_contrastive,
    decoupled_contrastive_references,
    info_nce,
    info_nce_references,
    nt_xent,
    nt_xent_references,
    sup_con,
    sup_con_references,
    triplet,
    triplet_references,
)
from sslkit.losses.critics import critic_nce, discrimination
from sslkit.losses.distillation import cosine_distance, self_distillation, sinkhorn, swapped_prediction
from sslkit.losses.generative import kl_to_standard_normal, masked_reconstruction, negative_elbo, reconstruction
from sslkit.losses.regularising import (
    barlow_twins,
    barlow_twins_references,
    lejepa,
    lejepa_references,
    sigreg,
    vicreg,
    vicreg_references,
    w_mse,
    w_mse_references,
)

__all__ = [
    "align_uniform",
    "align_uniform_references",
    "barlow_twins",
    "barlow_twins_references",
    "cosine_distance",
    "critic_nce",
    "decoupled_contrastive",
    "decoupled_contrastive_references",
    "discrimination",
    "distance_contrast",
    "info_nce",
    "info_nce_references",
    "joint_loss",
    "kl_to_standard_normal",
    "lejepa",
    "lejepa_references",
    "masked_reconstruction",
    "mean_difference",
    "negative_elbo",
    "nt_xent",
    "nt_xent_references",
    "reconstruction",
    "self_distillation",
    "sigreg",
    "sinkhorn",
    "sup_con",
    "sup_con_references",
    "swapped_prediction",
    "triplet",
    "triplet_references",
    "vicreg",
    "vicreg_references",
    "w_mse",
    "w_mse_references",
    "weight_penalty",
]
