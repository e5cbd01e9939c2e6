"""Methods: small modules that wire views, encoder, head and loss. One visible loop trains them all (`sslkit.train.fit`)."""

from sslkit.methods.article import ArticleSimCLR, Fusion
from sslkit.methods.autoencoder import Autoencoder, Denoising
from sslkit.methods.base import Batch, Method
from sslkit.methods.bigan import BiGAN
from sslkit.methods.byol import BYOL
from sslkit.methods.contrastive import DCL, DCLW, AlignUniform, SimCLR, Triplet
from sslkit.methods.critic import CriticNCE, CriticPairs, SameOrNot, WhichOne
from sslkit.methods.dino import DINO
from sslkit.methods.gate import GatedSimCLR
from sslkit.methods.joint import Joint
from sslkit.methods.lejepa import LeJEPA
from sslkit.methods.mae import MAE
from sslkit.methods.moco import MoCo
from sslkit.methods.nnclr import NNCLR
from sslkit.methods.regularising import WMSE, BarlowTwins, VICReg
from sslkit.methods.rotation import Rotation
from sslkit.methods.simsiam import SimSiam
from sslkit.methods.supcon import SupCon
from sslkit.methods.supervised import Supervised
from sslkit.methods.swav import SwAV
from sslkit.methods.vae import VAE

__all__ = [
    "BYOL",
    "DCL",
    "DCLW",
    "DINO",
    "MAE",
    "NNCLR",
    "VAE",
    "WMSE",
    "AlignUniform",
    "ArticleSimCLR",
    "Autoencoder",
    "BarlowTwins",
    "Batch",
    "BiGAN",
    "CriticNCE",
    "CriticPairs",
    "Denoising",
    "Fusion",
    "GatedSimCLR",
    "Joint",
    "LeJEPA",
    "Method",
    "MoCo",
    "Rotation",
    "SameOrNot",
    "SimCLR",
    "SimSiam",
    "SupCon",
    "Supervised",
    "SwAV",
    "Triplet",
    "VICReg",
    "WhichOne",
]
