"""The trunk: table, skin, fat, muscles, ribs, breastbone and the vertebral column."""

from __future__ import annotations

import numpy as np

from torso.frame import FIRST_VERTEBRA_MM, VERTEBRA_PITCH_MM, Frame
from torso.layers import Layer, cover
from torso.shapes import bump, difference, ellipsoid, intersection, step, union
from torso.space import Field, Points, Triple
from torso.tissues import SPINE

TABLE_TOP_MM = 116.0


def paint_trunk(frame: Frame) -> list[Layer]:
    """Paint from the table up to the emptied trunk cavity, with ribs in its wall."""
    space, p = frame.space, frame.space.points
    streaks = 9 * space.noise("muscle streaks", p, 9) + 5 * space.noise("muscle fat", p, 22)
    lobules = 7 * space.noise("fat lobules", p, 12)
    fascia = 60 * np.clip(space.noise("fascia", p, 16) - 1.5, 0, 0.8)
    return [
        *_table(frame),
        Layer("skin", p.box, cover(frame.body)),
        Layer("fat", p.box, cover(frame.body + 2.2), detail=lobules + fascia),
        Layer("muscle", p.box, cover(frame.wall), detail=streaks),
        Layer("visceral fat", p.box, cover(frame.cavity), detail=lobules),
        *_back_muscles(frame, streaks),
        _muscle_seams(frame),
        *_ribs(frame),
        *_breastbone(frame),
    ]


def _table(frame: Frame) -> list[Layer]:
    grid = frame.space.grid
    y, x = grid.axis(1)[None, :, None], grid.axis(2)[None, None, :]
    depth = np.abs(y - TABLE_TOP_MM + 0.0006 * x**2 - 2) - 1.6
    plate = np.maximum(depth, np.abs(x) - 160).astype(np.float32)
    return [Layer("table", grid.everywhere, np.broadcast_to(cover(plate), grid.shape))]


def _back_muscles(frame: Frame, streaks: Field) -> list[Layer]:
    p = frame.space.points
    middle = frame.spine_x(p.z)
    y = frame.spine_y(p.z)
    layers = []
    for side in (-1, 1):
        across = side * (p.x - middle)
        erector = np.hypot((across - 25) / 1.35, p.y - y - 41) - 18 - 2 * step(-p.z, 0, 80)
        low = step(-p.z, 0, 125)
        psoas = np.hypot(across - 26 - 10 * low, p.y - y + 2) - (3 + 16 * low)
        quadrate = np.hypot((across - 58) / 1.5, p.y - y - 22) - 9 * step(-p.z, 0, 50)
        crus = np.hypot((across - 12) / 1.1, p.y - y + 19) - 5.5 * bump(p.z, 5, 50)
        shape = np.minimum(np.minimum(erector, psoas), np.minimum(quadrate, crus))
        shape = np.maximum(shape, frame.wall + 1)
        layers.append(Layer("muscle", p.box, cover(shape, 3), detail=streaks))
    return layers


def _muscle_seams(frame: Frame) -> Layer:
    """Paint the fat between the chest wall's outer muscles and the ribs, and in the flank."""
    p = frame.space.points
    outer = step(np.abs(p.x), 55, 90) * step(p.z, -30, 20)
    flank = step(np.abs(p.x), 70, 95) * step(-p.z, -10, 30)
    depth = frame.cavity - 14.5 * outer - 6.0 * flank
    seam = np.abs(depth + 1.2 * frame.space.noise("seams", p, 18)) - 1.1
    share = cover(seam) * np.clip(0.9 * outer + 0.55 * flank, 0, 0.9)
    return Layer("fat", p.box, share * cover(frame.wall + 2))


def _ribs(frame: Frame) -> list[Layer]:
    """Ribs leave the spine level with their vertebra, sink to the side, and end as cartilage."""
    p = frame.space.points
    turn = np.arctan2(np.abs(p.x - frame.spine_x(p.z)), p.y - 5) / np.pi
    sink = 84 * step(turn, 0.08, 0.70) - 52 * step(turn, 0.70, 0.98)
    level = (p.z + sink - FIRST_VERTEBRA_MM) / VERTEBRA_PITCH_MM
    number = np.rint(level)
    along_z = (level - number) * VERTEBRA_PITCH_MM
    across = frame.cavity - 7.5
    rib = (np.sqrt((across / 4.3) ** 2 + (along_z / 6.6) ** 2) - 1) * 4.6
    ends = np.select([number == 0, number == 1, number >= 2], [0.36, 0.52, 0.71], -1.0)
    starts = 30.0 - np.hypot(p.x, p.y - 50)
    bone = np.maximum(np.maximum(rib, (turn - ends) * 300), starts)
    gristle = np.maximum(rib - 0.4, np.where(number >= 2, np.abs(turn - 0.82) - 0.12, 1) * 300)
    return [
        Layer("cartilage", p.box, cover(gristle)),
        Layer("bone cortex", p.box, cover(bone)),
        Layer("bone marrow", p.box, cover(bone + 2.2, 3)),
    ]


def _breastbone(frame: Frame) -> list[Layer]:
    p = frame.space.within((-30, -126, 50), (30, -50, 160))
    inner = frame.cavity[p.box] - 6.5
    width = np.abs(p.x) - 10 - 7 * step(p.z, 78, 110)
    plate = intersection(np.abs(inner) - 4.5, width, 5)
    plate = np.maximum(np.maximum(plate, 72 - p.z), p.y + 20)
    return [
        Layer("bone cortex", p.box, cover(plate)),
        Layer("bone marrow", p.box, cover(plate + 2.0, 3)),
    ]


def paint_spine(frame: Frame) -> list[Layer]:
    """Paint discs, vertebrae with arches and processes, and the open canal."""
    space = frame.space
    p = space.within((-62, 0, -152), (62, 112, 170))
    local = _vertebral_points(frame, p)
    half_depth = frame.body_half_depth(p.z)
    canal_y = half_depth + 8.5
    column = _body_outline(local, half_depth)
    vertebra = intersection(column, np.abs(local.z) - 11.3, 4)
    bone = union(vertebra, _arch(local, canal_y), 3)
    bone = bone + 0.7 * space.noise("vertebrae", p, 14)
    canal = np.hypot(local.x / 1.2, local.y - canal_y) - 7.2
    shell = bone + 1.9
    grain = 28 * space.noise("trabeculae", p, 6)
    return [
        Layer("disc", p.box, cover(column + 0.8), SPINE),
        Layer("bone cortex", p.box, cover(bone), SPINE),
        Layer("bone marrow", p.box, cover(shell, 3), SPINE, detail=grain),
        Layer("epidural fat", p.box, cover(canal)),
        Layer("spinal cord", p.box, cover(canal + 2.2)),
    ]


def _vertebral_points(frame: Frame, p: Points) -> Points:
    level = (p.z - FIRST_VERTEBRA_MM) / VERTEBRA_PITCH_MM
    z = (level - np.rint(level)) * VERTEBRA_PITCH_MM
    return Points(p.box, p.x - frame.spine_x(p.z), p.y - frame.spine_y(p.z), z)


def _body_outline(local: Points, half_depth: Field) -> Field:
    waist = 0.90 + 0.10 * np.clip(np.abs(local.z) / 11.0, 0, 1.2) ** 2
    half_width = half_depth * 1.30
    q = np.sqrt((local.x / half_width) ** 2 + (local.y / half_depth) ** 2) / waist + 1e-3
    round_body = np.hypot(local.x, local.y) * (1 - 1 / q)
    hollow = np.hypot(local.x, local.y - half_depth - 13) - 14.5
    return difference(round_body, hollow, 3)


def _arch(local: Points, canal_y: Field) -> Field:
    y = local.y - canal_y
    q = Points(local.box, np.abs(local.x), y, local.z)

    def part(centre: Triple, radii: Triple, turn: Triple = (0, 0, 0)) -> Field:
        return ellipsoid(q, centre, radii, turn)

    lamina = np.abs(np.hypot(local.x / 1.15, y) - 10.3) - 2.6
    lamina = np.maximum(np.maximum(lamina, -y - 1), np.abs(local.z + 5) - 9)
    pieces = [
        part((12.5, -5, 4), (4.6, 9, 6.5)),
        part((15, 6, -13), (5.5, 5.5, 9)),
        part((27, 3, 3), (17, 4.2, 5.0), (0, 0, 18)),
        part((0, 23, -5), (3.6, 15, 9), (18, 0, 0)),
    ]
    shape = lamina
    for piece in pieces:
        shape = union(shape, piece, 3)
    return shape
