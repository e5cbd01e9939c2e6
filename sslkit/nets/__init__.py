"""Networks: encoders (pixels to representation), heads, decoders and critics (to what a loss wants), teachers and queues."""

from sslkit.nets.critics import PairCritic, SimilarityNetwork, critic, discriminator
from sslkit.nets.decoders import ImageDecoder, PatchDecoder
from sslkit.nets.encoders import Encoder, adapt, build, resnet18, small_resnet, tiny_vit
from sslkit.nets.eval_mode import looking
from sslkit.nets.heads import Prototypes, prediction_head, projection_head
from sslkit.nets.norms import Fitted, Whitening
from sslkit.nets.patches import PatchDictionary, dictionary
from sslkit.nets.teacher import Queue, Teacher

__all__ = [
    "Encoder",
    "Fitted",
    "ImageDecoder",
    "PairCritic",
    "PatchDecoder",
    "PatchDictionary",
    "Prototypes",
    "Queue",
    "SimilarityNetwork",
    "Teacher",
    "Whitening",
    "adapt",
    "build",
    "critic",
    "dictionary",
    "discriminator",
    "looking",
    "prediction_head",
    "projection_head",
    "resnet18",
    "small_resnet",
    "tiny_vit",
]
