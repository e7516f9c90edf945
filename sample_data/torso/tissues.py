"""What things are called and how bright they are: the label scheme and HU by contrast phase."""

from __future__ import annotations

from dataclasses import dataclass

from torso.space import stream

LIVER, SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, STOMACH = 1, 2, 3, 4, 5
AORTA, RIGHT_LUNG, LEFT_LUNG, SPINE = 6, 7, 8, 9


@dataclass(frozen=True)
class Organ:
    """One label: its number, name, colour (``#rrggbb``) and SNOMED-CT code."""

    id: int
    name: str
    colour: str
    snomed: str


ORGANS = (
    Organ(LIVER, "liver", "#a0523d", "10200004"),
    Organ(SPLEEN, "spleen", "#8e5ba6", "78961009"),
    Organ(RIGHT_KIDNEY, "right kidney", "#e0a030", "9846003"),
    Organ(LEFT_KIDNEY, "left kidney", "#f2d05c", "18639004"),
    Organ(STOMACH, "stomach", "#e58fa5", "69695003"),
    Organ(AORTA, "aorta", "#d62728", "15825003"),
    Organ(RIGHT_LUNG, "right lung", "#6baed6", "3341006"),
    Organ(LEFT_LUNG, "left lung", "#9fd8cb", "44029006"),
    Organ(SPINE, "spine", "#e8dcb5", "421060004"),
)


@dataclass(frozen=True)
class Tissue:
    """A tissue's HU in the late arterial and the portal venous phase, and how patients differ."""

    late_arterial: float
    portal_venous: float
    spread: float = 0.0


TISSUES = {
    "table": Tissue(-480, -450),
    "skin": Tissue(25, 25, 5),
    "fat": Tissue(-106, -103, 3),
    "visceral fat": Tissue(-99, -96, 4),
    "perirenal fat": Tissue(-103, -100, 3),
    "epidural fat": Tissue(-40, -35),
    "muscle": Tissue(57, 64, 4),
    "cartilage": Tissue(105, 110, 15),
    "bone cortex": Tissue(960, 980, 60),
    "bone marrow": Tissue(215, 225, 35),
    "disc": Tissue(85, 82, 6),
    "spinal cord": Tissue(34, 34),
    "liver": Tissue(78, 106, 9),
    "portal vein": Tissue(138, 172, 10),
    "hepatic vein": Tissue(70, 160, 8),
    "gallbladder": Tissue(9, 11, 4),
    "spleen": Tissue(112, 120, 9),
    "renal cortex": Tissue(188, 176, 12),
    "renal medulla": Tissue(112, 168, 8),
    "renal sinus": Tissue(-62, -55, 8),
    "renal pelvis": Tissue(12, 14),
    "stomach wall": Tissue(84, 88, 7),
    "stomach content": Tissue(36, 44, 16),
    "gas": Tissue(-940, -935),
    "aorta": Tissue(262, 158, 16),
    "vena cava": Tissue(105, 148, 8),
    "artery": Tissue(225, 150, 10),
    "mesenteric vessel": Tissue(110, 135, 8),
    "pancreas": Tissue(104, 92, 7),
    "bowel wall": Tissue(82, 90, 6),
    "bowel content": Tissue(26, 30, 10),
    "colon wall": Tissue(66, 72, 6),
    "stool": Tissue(-25, -20, 30),
    "adrenal": Tissue(72, 70, 6),
    "lung": Tissue(-860, -845, 12),
    "lung vessel": Tissue(120, 105, 10),
    "airway wall": Tissue(-120, -120),
    "airway": Tissue(-985, -980),
    "pericardial fat": Tissue(-88, -85, 5),
    "myocardium": Tissue(102, 112, 6),
    "left heart": Tissue(255, 152, 14),
    "right heart": Tissue(165, 150, 12),
    "oesophagus": Tissue(52, 58, 4),
    "diaphragm": Tissue(52, 60, 3),
}


def intensities(seed: int, phase: str) -> dict[str, float]:
    """Give this patient's HU of every tissue in a phase.

    Parameters
    ----------
    seed : int
        The patient.
    phase : str
        ``"late_arterial"`` or ``"portal_venous"``.
    """
    rng = stream(seed, "intensities")
    return {
        name: getattr(tissue, phase) + tissue.spread * rng.normal()
        for name, tissue in TISSUES.items()
    }
