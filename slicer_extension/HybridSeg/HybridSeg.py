"""HybridSeg: name the organs in a scan, check the result, and keep what is needed for both.

A thin entry: everything real is in HybridSegLib.
"""

from pathlib import Path

import slicer
from HybridSegLib.controller import Controller
from HybridSegLib.install import SlicerInstallation
from HybridSegLib.panel import Panel
from HybridSegLib.state import PanelState
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class HybridSeg(ScriptedLoadableModule):
    """What Slicer lists."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("HybridSeg")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["The napari-hybridseg authors"]
        parent.helpText = _(
            "Names the organs in a scan with hybrid convolution-transformer networks, and scores "
            "the result organ by organ. On first use it asks before it installs its engine."
        )
        parent.acknowledgementText = _(
            "Research only; not a medical device. The networks follow the papers of UTNet, "
            "MedFormer, CoTr, 3D UX-Net and TransFuse; each checkpoint's card names its data."
        )
        slicer.app.connect("startupCompleted()", register_sample_data)


def register_sample_data():
    """Offer the sample volumes, once Slicer's own modules are there."""
    import SampleData
    from HybridSegLib import sample_data

    icons = Path(__file__).parent / "Resources" / "Icons"
    sample_data.register(SampleData.SampleDataLogic, icons)


class HybridSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Puts the panel into Slicer, and tells it of the scene's comings and goings."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.controller = None
        self.panel = None
        self._observed_node = None

    def setup(self):
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/HybridSeg.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = HybridSegLogic()
        self.controller = Controller(
            PanelState(),
            self.logic.getParameterNode,
            SlicerInstallation(Path(self.resourcePath("requirements.txt"))),
            self.logic.open_bench,
        )
        self.panel = Panel(self.ui, self.controller)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.on_scene_start_close)
        self.addObserver(scene, scene.EndCloseEvent, self.on_scene_changed)
        self.addObserver(scene, scene.EndImportEvent, self.on_scene_changed)
        self.addObserver(scene, scene.NodeRemovedEvent, self.on_parameters_modified)
        self._observe_parameters()

    def enter(self):
        """Begin when the module is looked at: the engine starts here, and not with Slicer."""
        self.controller.open()
        if self.controller.state.volume_facts is None:
            self.controller.choosing.volume(self.ui.volumeSelector.currentNode())

    def cleanup(self):
        """End with the module."""
        self.removeObservers()
        self.controller.close()

    def on_scene_start_close(self, caller, event):
        """Let go of the scene: what runs is stopped."""
        self.controller.leave_scene()

    def on_scene_changed(self, caller, event):
        """Take the scene as it is now."""
        self.controller.take_scene()
        self._observe_parameters()

    def on_parameters_modified(self, caller, event):
        """Show what somebody else, a script or undo, changed."""
        if not slicer.mrmlScene.IsClosing():
            self.controller.look()

    def _observe_parameters(self):
        node = self.controller.parameters.node
        if node is not self._observed_node:
            if self._observed_node is not None:
                self.removeObserver(
                    self._observed_node, "ModifiedEvent", self.on_parameters_modified
                )
            self.addObserver(node, "ModifiedEvent", self.on_parameters_modified)
            self._observed_node = node


class HybridSegLogic(ScriptedLoadableModuleLogic):
    """What scripts use, and what needs no window."""

    def open_bench(self):
        """Give what knows the engine; only once that is installed."""
        from HybridSegLib.bench.bench import Bench

        return Bench()


class HybridSegTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer the same checks that the project's own tests run outside of it."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run all checks, or say why they cannot run."""
        from HybridSegLib.self_test import run_all

        self.setUp()
        run_all(self.delayDisplay)
