from __future__ import annotations

import pytest

from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.widgets.options_form import FROM_CARD, OptionsForm


@pytest.fixture
def form(qtbot) -> OptionsForm:
    form = OptionsForm(SegmentOptions(), leave_out=("device",))
    qtbot.addWidget(form)
    return form


def test_every_option_has_a_field_with_its_description(form):
    assert set(form.fields) == set(SegmentOptions.model_fields) - {"device"}
    for name, field in form.fields.items():
        assert field.widget.toolTip() == SegmentOptions.model_fields[name].description


def test_none_reads_from_the_card_and_survives(form, qtbot):
    assert form.fields["overlap"].widget.text() == FROM_CARD
    assert form.fields["importance"].widget.currentText() == FROM_CARD
    with qtbot.waitSignal(form.changed) as signal:
        form.fields["tta"].widget.click()
    assert signal.args == [SegmentOptions(tta=True)]


def test_what_is_left_open_says_what_it_comes_to(form, qtbot):
    meanings = {
        "overlap": "0.5",
        "importance": "gaussian",
        "tta": "left–right (from the card)",
        "precision": "float32",
        "threads": "nothing",
    }
    with qtbot.assertNotEmitted(form.changed):
        form.show_meanings(meanings)
    fields = form.fields
    assert fields["overlap"].widget.text() == "from the card (0.5)"
    assert fields["importance"].widget.currentText() == "from the card (gaussian)"
    assert fields["tta"].widget.text() == "left–right (from the card)"
    assert fields["precision"].widget.currentText() == "auto (float32)"
    assert fields["threads"].widget.text() == "automatic"
    assert [fields[name].value() for name in ("overlap", "importance")] == [None, None]
    assert fields["precision"].value() == "auto"
    form.show_options(SegmentOptions(overlap=0.25, precision="bfloat16"))
    assert fields["overlap"].widget.text() == "0.25"
    assert fields["precision"].widget.currentText() == "bfloat16"
    form.show_meanings({})
    form.show_options(SegmentOptions())
    assert fields["overlap"].widget.text() == FROM_CARD
    assert fields["tta"].widget.text() == ""


def test_a_number_reads_as_its_field_declares(form):
    assert form.fields["threads"].widget.text() == "automatic"
    assert form.fields["threads"].value() == 0
    form.show_options(SegmentOptions(threads=2))
    assert form.fields["threads"].widget.text() == "2"


@pytest.mark.parametrize("value", [0.0, 0.5, 0.95])
def test_numbers_come_back_as_they_were_put_in(form, qtbot, value):
    form.show_options(SegmentOptions(overlap=value))
    assert form.fields["overlap"].value() == value
    with qtbot.waitSignal(form.changed) as signal:
        form.fields["threads"].widget.setValue(3)
    assert signal.args == [SegmentOptions(overlap=value, threads=3)]


def test_showing_options_is_no_choice(form, qtbot):
    with qtbot.assertNotEmitted(form.changed):
        form.show_options(SegmentOptions(overlap=0.3, importance="constant", tta=True))
