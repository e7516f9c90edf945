"""The labels of the public data sets that the papers use, with the data sets' own numbers."""

from __future__ import annotations

from napari_hybridseg.labels import LabelScheme


def _scheme(name: str, *organs: str) -> LabelScheme:
    return LabelScheme.from_names(dict(enumerate(organs, 1)), name)


ACDC = _scheme("ACDC", "right ventricle", "myocardium", "left ventricle")
BCV = _scheme(
    "BCV",
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior vena cava",
    "portal and splenic vein",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
)
LITS = _scheme("LiTS", "liver", "liver tumour")
KITS = _scheme("KiTS", "kidney", "kidney tumour")
AMOS = _scheme(
    "AMOS",
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior vena cava",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
    "duodenum",
    "bladder",
    "prostate or uterus",
)
FLARE2021 = _scheme("FLARE 2021", "liver", "kidney", "spleen", "pancreas")
FETA2021 = _scheme(
    "FeTA 2021",
    "external cerebrospinal fluid",
    "grey matter",
    "white matter",
    "ventricles",
    "cerebellum",
    "deep grey matter",
    "brainstem",
)
ISIC2017 = _scheme("ISIC 2017", "lesion")
POLYP = _scheme("polyps", "polyp")
HIP = _scheme("hip", "pelvis", "left femur", "right femur")
PROSTATE = _scheme("prostate", "peripheral zone", "transition zone")
