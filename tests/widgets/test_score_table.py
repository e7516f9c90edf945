from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.metrics import OrganScore, ScoreReport
from napari_hybridseg.widgets.score_table import ScoreTable
from napari_hybridseg.widgets.state import Score

DICE, HD95 = 1, 2
SCHEME = LabelScheme.from_names({1: "liver", 2: "spleen", 3: "aorta", 4: "stomach"})


def organ(label: int, status: str, dice: float | None, hd95: float | None) -> OrganScore:
    name = SCHEME.organ(label).name
    return OrganScore(
        label=label,
        name=name,
        status=status,
        dice=dice,
        hd95_mm=hd95,
        volume_ml=label * 100,
        reference_volume_ml=120,
    )


@pytest.fixture
def table(qtbot) -> ScoreTable:
    report = ScoreReport(
        organs=(
            organ(1, "scored", 0.9, 10.5),
            organ(2, "scored", 0.95, 9.25),
            organ(3, "missed", 0.0, None),
            organ(4, "absent in both", None, None),
        ),
        convention="monai",
        tolerance_mm=1,
    )
    table = ScoreTable()
    qtbot.addWidget(table)
    table.show_score(Score(report, "scan · net", "truth", SCHEME))
    return table


def column(table: ScoreTable, number: int) -> list[str]:
    return [row[number] for row in table.scores.texts()[1:]]


def test_every_number_is_named_and_empties_are_said(table):
    titles, *rows = table.scores.texts()
    assert titles == ["Organ", "Dice", "HD95 mm (monai)", "Volume mL", "Δ mL"]
    assert rows[0] == ["liver", "0.900", "10.50", "100.0", "-20.0"]
    assert rows[2][:3] == ["aorta", "missed", "–"]
    assert rows[3][:3] == ["stomach", "absent in both", "–"]
    assert rows[4][:3] == ["mean", "0.617", "9.88"]


def test_sorting_is_by_number_and_the_mean_stays_last(table):
    table.sortByColumn(HD95, Qt.SortOrder.AscendingOrder)
    assert column(table, HD95) == ["9.25", "10.50", "–", "–", "9.88"]
    table.sortByColumn(HD95, Qt.SortOrder.DescendingOrder)
    assert column(table, HD95) == ["10.50", "9.25", "–", "–", "9.88"]
    table.sortByColumn(DICE, Qt.SortOrder.AscendingOrder)
    assert column(table, 0) == ["aorta", "liver", "spleen", "stomach", "mean"]
    table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    assert column(table, 0) == ["aorta", "liver", "spleen", "stomach", "mean"]


def test_organs_carry_their_colour_and_hd95_its_convention(table):
    swatch = table.scores.index(1, 0).data(Qt.ItemDataRole.DecorationRole)
    assert swatch.name() == SCHEME.organ(2).colour
    header = table.scores.headerData(HD95, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    assert "monai" in header
    assert all(entry.help_text for entry in table.scores.columns[1:])


def test_the_worst_numbers_stand_out(table):
    def is_marked(row: int, number: int) -> bool:
        return table.scores.index(row, number).data(Qt.ItemDataRole.BackgroundRole) is not None

    assert [is_marked(row, DICE) for row in range(4)] == [False, False, True, False]
    assert [is_marked(row, HD95) for row in range(4)] == [True, False, False, False]


def test_a_change_and_a_rival_stand_beside(table, qtbot):
    before = ScoreReport(
        organs=(organ(1, "scored", 0.8, 12.0), organ(2, "scored", 0.97, 9.0)),
        convention="monai",
        tolerance_mm=1,
    )
    now = ScoreReport(
        organs=(organ(1, "scored", 0.9, 10.5), organ(2, "scored", 0.95, 9.25)),
        convention="monai",
        tolerance_mm=1,
    )
    table.show_score(Score(now, "a", "truth", SCHEME, first=before, rival=before, rival_name="b"))
    titles, liver, spleen, mean = table.scores.texts()
    assert titles[2:4] == ["Δ Dice", "HD95 mm (monai)"]
    place = titles.index("other Dice")
    assert titles[place : place + 2] == ["other Dice", "other HD95 mm (monai)"]
    assert titles[place - 1] == "HD95 mm (monai)"
    assert (liver[2], spleen[2], mean[2]) == ("+0.100", "-0.020", "+0.040")
    assert (liver[place], liver[place + 1], mean[place + 1]) == ("0.800", "12.00", "10.50")
    worse = now.organs[0].model_copy(update={"dice": 0.8 - 1e-6})
    same = now.model_copy(update={"organs": (worse, now.organs[1])})
    table.show_score(Score(same, "a", "truth", SCHEME, first=before))
    assert table.scores.texts()[1][2] == "+0.000"  # not "-0.000"


def test_a_rival_may_have_braces_in_its_name(table):
    report = table.scores._score.report
    named = Score(report, "a", "truth", SCHEME, rival=report, rival_name="scan {2}")
    table.show_score(named)
    place = table.scores.texts()[0].index("other Dice")
    across, tip = Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole
    assert "'scan {2}'" in table.scores.headerData(place, across, tip)
    assert "monai" in table.scores.headerData(place + 1, across, tip)
    assert "{" not in table.scores.headerData(DICE, across, tip)


def test_an_update_keeps_the_order_that_the_user_chose(table):
    table.sortByColumn(DICE, Qt.SortOrder.AscendingOrder)
    order = column(table, 0)
    table.show_score(table.scores._score)
    assert column(table, 0) == order


def test_a_click_tells_the_organ_and_the_mean_is_none(table, qtbot):
    with qtbot.waitSignal(table.picked) as picked:
        table.clicked.emit(table.scores.index(1, 2))
    assert picked.args == [2]
    with qtbot.assertNotEmitted(table.picked):
        table.clicked.emit(table.scores.index(4, 0))
