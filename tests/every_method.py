"""Every method, small: the battery and the test of several processes run on all of them. Adding one is adding one line."""

import torch

from sslkit import augment, nets
from sslkit.methods import (
    BYOL,
    DCL,
    DCLW,
    DINO,
    MAE,
    NNCLR,
    VAE,
    WMSE,
    AlignUniform,
    ArticleSimCLR,
    Autoencoder,
    BarlowTwins,
    BiGAN,
    CriticNCE,
    CriticPairs,
    Denoising,
    Fusion,
    GatedSimCLR,
    LeJEPA,
    MoCo,
    Rotation,
    SimCLR,
    SimSiam,
    SupCon,
    Supervised,
    SwAV,
    Triplet,
    VICReg,
)

VIEWS = (augment.Policy(), augment.Policy())
CROPS = (*VIEWS, augment.Policy(size=8), augment.Policy(size=8))
ONE = {"policies": VIEWS[:1]}
PAINTER = {"image_size": (16, 16), "norm": "group", **ONE}


def encoder():
    return nets.small_resnet(3, widths=(8, 16), norm="group")


def article(**options):
    return ArticleSimCLR(encoder(), n_images=64, dim=16, hidden=8, policies=VIEWS, **options)


def vit():
    return nets.tiny_vit(3, dim=32, depth=2)


METHODS = {
    "simclr": lambda: SimCLR(encoder(), head=(32, 16), policies=VIEWS, norm="group"),
    "dcl": lambda: DCL(encoder(), head=(32, 16), policies=VIEWS, norm="group"),
    "dclw": lambda: DCLW(encoder(), head=(32, 16), policies=VIEWS, norm="group"),
    "triplet": lambda: Triplet(encoder(), head=(32, 16), policies=VIEWS, norm="group"),
    "align_uniform": lambda: AlignUniform(encoder(), head=(32, 16), policies=VIEWS, norm="group"),
    "supcon": lambda: SupCon(encoder(), head=(32, 16), policies=VIEWS, norm="group"),
    "vicreg": lambda: VICReg(encoder(), head=(32, 16), policies=VIEWS, norm="group"),
    "barlow_twins": lambda: BarlowTwins(encoder(), head=(32, 16), policies=VIEWS, norm="group"),
    "w_mse": lambda: WMSE(encoder(), head=(32, 6), policies=VIEWS, norm="group"),
    "lejepa": lambda: LeJEPA(encoder(), n_directions=16, head=(32, 16), policies=VIEWS, norm="group"),
    "moco": lambda: MoCo(encoder(), queue_size=32, head=(32, 16), policies=VIEWS, norm="group"),
    "nnclr": lambda: NNCLR(encoder(), head=(32, 16), policies=VIEWS, norm="group"),
    "byol": lambda: BYOL(encoder(), head=(32, 64), policies=VIEWS, norm="group"),
    "simsiam": lambda: SimSiam(encoder(), head=(32, 64), policies=VIEWS, norm="group"),
    "swav": lambda: SwAV(encoder(), head=(32, 16), policies=CROPS, norm="group"),
    "dino": lambda: DINO(encoder(), n_prototypes=32, centre_momentum=0.0, head=(32, 16), policies=CROPS, norm="group"),
    "article": lambda: article(),
    "article, shared": lambda: article(shared=True, omega=0.0),
    "critic_pairs": lambda: CriticPairs(encoder(), head=(32, 16), policies=VIEWS, norm="group"),
    "critic_nce": lambda: CriticNCE(encoder(), head=(32, 16), policies=VIEWS, norm="group"),
    "gated_simclr": lambda: GatedSimCLR(encoder(), head=(32, 16), policies=VIEWS, norm="group", reject=0.3),
    "simclr on a transformer": lambda: SimCLR(vit(), head=(32, 16), policies=VIEWS, norm="group"),
    "autoencoder": lambda: Autoencoder(encoder(), **PAINTER),
    "denoising": lambda: Denoising(encoder(), **PAINTER),
    "vae": lambda: VAE(encoder(), latent=8, **PAINTER),
    "bigan": lambda: BiGAN(encoder(), latent=8, **PAINTER),
    "mae": lambda: MAE(vit(), decoder=(16, 1), **ONE),
    "rotation": lambda: Rotation(encoder(), **ONE),
    "supervised": lambda: Supervised(encoder(), torch.arange(64) % 4, outputs=4),
    "regression": lambda: Supervised(encoder(), torch.randn(64, 2), outputs=2),
    "fusion": lambda: Supervised(Fusion(article()), torch.arange(64) % 4, outputs=4),
}
