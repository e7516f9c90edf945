"""How good a label map is, against a reference."""

from __future__ import annotations

from typing import Any

from HybridSegLib.controller import Controller
from HybridSegLib.dialogs import Dialogs
from HybridSegLib.parameters import LABEL_MAP, REFERENCE, RIVAL
from HybridSegLib.sections.score_view import ScoreView
from HybridSegLib.sections.shown import show_line, show_node, show_run_button
from HybridSegLib.state import why_not_score

_NO_SCORES = "There are no scores yet."


class ReviewSection:
    """What is compared with what, the scores, and taking them along."""

    def __init__(self, ui: Any, controller: Controller, dialogs: Dialogs) -> None:
        self._ui = ui
        self._controller = controller
        self._dialogs = dialogs
        self._shown: Any = None
        self.table = ScoreView(ui.scoreTable)
        self.table.organ_clicked.connect(controller.reviewing.visit)
        changed = "currentNodeChanged(vtkMRMLNode*)"
        ui.labelMapSelector.connect(changed, controller.scoring.label_map)
        ui.referenceSelector.connect(changed, controller.scoring.reference)
        ui.rivalSelector.connect(changed, controller.scoring.rival)
        ui.nextWorstButton.connect(
            "clicked(bool)", lambda *_: controller.reviewing.visit_next_worst()
        )
        ui.scoreButton.connect("clicked(bool)", lambda *_: self.press())
        ui.copyButton.connect("clicked(bool)", lambda *_: self.copy())
        ui.saveScoresButton.connect("clicked(bool)", lambda *_: self.save())
        ui.tableViewButton.connect("clicked(bool)", lambda *_: controller.scoring.show_table())

    def refresh(self) -> None:
        """Show the state."""
        ui, controller = self._ui, self._controller
        state = controller.state
        show_node(ui.labelMapSelector, controller.parameters.reference(LABEL_MAP))
        show_node(ui.referenceSelector, controller.parameters.reference(REFERENCE))
        show_node(ui.rivalSelector, controller.parameters.reference(RIVAL))
        reason = why_not_score(state)
        help_text = "Compare the label map with the reference: Dice, HD95, volumes."
        show_run_button(ui.scoreButton, "Score", help_text, "score", state, reason)
        show_line(ui.reviewHint, "" if state.phase.is_busy else reason)
        self._refresh_scores()

    def press(self) -> None:
        """Start, or stop what runs."""
        controller = self._controller
        (controller.cancel if controller.state.phase.is_busy else controller.scoring.score)()

    def copy(self) -> None:
        """Put the table as it stands onto the clipboard."""
        self._dialogs.copy("\n".join("\t".join(row) for row in self.table.texts()))
        self._controller.say("The scores are on the clipboard.")

    def save(self) -> None:
        """Write every number to a CSV file, or as JSON where the name ends so."""
        path = self._dialogs.save_file(
            "Save the scores", "scores", "scores.csv", "CSV (*.csv);;JSON (*.json)"
        )
        if path is not None:
            self._controller.scoring.save(path if path.suffix else path.with_suffix(".csv"))

    def _refresh_scores(self) -> None:
        ui, state = self._ui, self._controller.state
        score = state.score
        if score is not self._shown:
            self._shown = score
            self.table.show_score(score)
        ui.scoreTable.visible = score is not None
        for button, purpose in (
            (
                ui.nextWorstButton,
                "Go to the largest error of the worst organ, then of the next.",
            ),
            (ui.copyButton, "Copy the table, to paste it into a spreadsheet."),
            (ui.saveScoresButton, "Save every number as a CSV or JSON file."),
            (ui.tableViewButton, "Show every number in Slicer's table view."),
        ):
            button.enabled = score is not None
            button.toolTip = purpose if score else _NO_SCORES
        if score is None:
            show_line(ui.scoreNotes, "")
            return
        lines = [
            f"{score.label_map} against {score.reference}; HD95 by the "
            f"{score.report.convention} convention. Click an organ to go there, again for its "
            "largest error.",
            *([f"'other' is {score.rival_name}."] if score.rival is not None else []),
            *score.report.notes,
        ]
        if state.score_is_stale:
            lines.insert(0, "Edited since; score again to see the change.")
        show_line(ui.scoreNotes, "\n".join(lines))
