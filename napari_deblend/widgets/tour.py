"""The guided tour in the dock: a quiet offer at first, then a step at a time; never in the way of anything."""

from __future__ import annotations

from functools import partial
from html import escape

from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QScrollArea, QShortcut, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_deblend.actions import ACTIONS, perform
from napari_deblend.compat import canvas_of
from napari_deblend.keys import qt_text
from napari_deblend.remembered import is_tour_known, remember_tour
from napari_deblend.tour import END_KEY
from napari_deblend.tour_steps import CANVAS, STEPS, Need, Step
from napari_deblend.widgets.halo import COLOR, Halo
from napari_deblend.widgets.parts import Links, Wrapped, row
from napari_deblend.workbench import Workbench

LAID_OUT = 50
"""How long after a part was unfolded it has its place [ms]."""
HELP = {Need.IMAGES: "open_sample", Need.SOURCES: "find_sources"}
"""What gets a person what a step lacks."""
OFFER = "New here?"
FRAMED = f"#tour {{ border: 1px solid {COLOR}; border-radius: 4px; }}"
"""How it looks while it is at a step; the offer is quiet."""


class TourBar(QFrame):
    """Offers the tour where it was never offered, and shows the step that it is at."""

    def __init__(self, bench: Workbench, dock: QWidget, may_offer: bool) -> None:
        super().__init__(dock)
        self._bench, self._dock = bench, dock
        self.setObjectName("tour")
        self.offer = self._offer_part()
        self.steps = self._steps_part()
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.addWidget(self.offer)
        column.addWidget(self.steps)
        self._halos: list[Halo] = []
        self._shown: tuple[Step | None, bool, Need, bool] | None = None
        self._end_key = QShortcut(QKeySequence(END_KEY), dock)
        self._end_key.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self._end_key.activated.connect(bench.tour.end)
        self._links = Links()
        self.destroyed.connect(partial(self._links.end))
        # the frame may be around the image, which outlives this widget
        self.destroyed.connect(partial(_remove, self._halos))
        self._links.connect(bench.tour.changed, self._show)
        self._links.connect(bench.document.observations_changed, self._withdraw)
        self._is_offered = False
        self._show()
        if may_offer and not is_tour_known():
            # files that are about to be opened come first
            QTimer.singleShot(0, self._make_offer)

    def _offer_part(self) -> QWidget:
        part = QWidget()
        self.take = _button("Take the tour", "take_tour", f"Begin the tour  ({qt_text(ACTIONS['take_tour'].key)})")
        self.take.clicked.connect(lambda: perform(self._bench, "take_tour"))
        self.not_now = _button(
            "Not now", "not_now", f"It is not offered again; {qt_text(ACTIONS['take_tour'].key)} begins it at any time"
        )
        self.not_now.clicked.connect(self._answer)
        part.setLayout(row(QLabel(OFFER), self.take, self.not_now, None))
        return part

    def _steps_part(self) -> QWidget:
        part = QWidget()
        column = QVBoxLayout(part)
        column.setContentsMargins(0, 0, 0, 0)
        self.sentence = Wrapped()
        self.sentence.setObjectName("tour_sentence")
        self.sentence.setTextFormat(Qt.TextFormat.RichText)
        self.do_it = _button("Do it", "tour_do_it", "Have it done")
        self.do_it.clicked.connect(self._do)
        self.back = _button("Back", "tour_back", f"The step before  ({qt_text(ACTIONS['tour_back'].key)})")
        self.back.clicked.connect(self._bench.tour.back)
        self.skip = _button("Skip", "tour_skip", f"The next step  ({qt_text(ACTIONS['tour_skip'].key)})")
        self.skip.clicked.connect(self._bench.tour.skip)
        self.end = _button("End", "tour_end", "End the tour; all that was done stays  (Esc)")
        self.end.clicked.connect(self._bench.tour.end)
        column.addWidget(self.sentence)
        column.addLayout(row(self.do_it, None, self.back, self.skip, self.end))
        return part

    # the offer -----------------------------------------------------------------------------------------------------

    def _make_offer(self) -> None:
        bench = self._bench
        self._is_offered = not bench.document.is_open and not bench.is_reading and bench.tour.step is None
        self._show()

    def _answer(self) -> None:
        """Offer it no more, in this window and in others."""
        self._is_offered = False
        remember_tour()
        self._show()

    def _withdraw(self) -> None:
        """Whoever opens images while it is offered has answered."""
        if self._is_offered:
            self._answer()

    # the step ------------------------------------------------------------------------------------------------------

    def _do(self) -> None:
        """Do what the step says, or what it cannot do without."""
        tour = self._bench.tour
        if tour.step is not None:
            perform(self._bench, HELP.get(tour.missing, tour.step.action))

    def _show(self) -> None:
        tour = self._bench.tour
        step = tour.step
        if step is not None and self._is_offered:
            # begun by the button or by its key
            self._answer()
            return
        self.setVisible(step is not None or self._is_offered)
        self.offer.setVisible(step is None and self._is_offered)
        self.steps.setVisible(step is not None)
        self.setStyleSheet("" if step is None else FRAMED)
        self._end_key.setEnabled(step is not None)
        shown = step, tour.is_done, tour.missing, tour.holds_already
        if shown == self._shown:
            return
        is_other = self._shown is None or self._shown[0] is not step
        self._shown = shown
        if step is not None:
            self._write(step, tour.missing)
        if is_other:
            _remove(self._halos)
            if step is not None:
                self._point_at(step.target)

    def _write(self, step: Step, missing: Need) -> None:
        tour = self._bench.tour
        keys = {name: f"<b>{escape(qt_text(action.key))}</b>" for name, action in ACTIONS.items()}
        text = (missing.value or step.sentence).format_map(keys)
        mark = "✓" if tour.is_done else f"{tour.number}/{len(STEPS)}"
        self.sentence.setText(f"<span style='color: {COLOR}'><b>{mark}</b></span>&nbsp; {text}")
        self.do_it.setVisible(bool(step.action) or missing is not Need.NOTHING)
        self.do_it.setEnabled(not tour.is_done)
        self.back.setEnabled(tour.number > 1)
        is_last = tour.number == len(STEPS)
        self.skip.setVisible(not is_last)
        self.skip.setText("Next" if tour.is_done or tour.holds_already else "Skip")

    def _point_at(self, name: str) -> None:
        """Put the frame around what a step speaks of, unfolded and in view."""
        target = canvas_of(self._bench.viewer).native if name == CANVAS else self._dock.findChild(QWidget, name)
        if target is None:
            return
        self._halos.append(Halo(target))
        if name != CANVAS:
            _unfold(target)
            # only once Qt has laid it out
            QTimer.singleShot(LAID_OUT, partial(self._bring_into_view, self._halos[-1]))

    def _bring_into_view(self, halo: Halo) -> None:
        if halo not in self._halos:
            return
        above = halo.target.parentWidget()
        while above is not None and not isinstance(above, QScrollArea):
            above = above.parentWidget()
        if above is not None:
            place = halo.target.mapTo(above.widget(), QPoint(0, 0))
            above.ensureVisible(place.x(), place.y() + halo.target.height() // 2, 0, halo.target.height())


def _unfold(widget: QWidget) -> None:
    """Unfold the parts that a widget is in; their headings are not in them."""
    above = widget.parentWidget()
    while above is not None:
        if isinstance(above, QCollapsible) and above.toggleButton() is not widget:
            above.expand(animate=False)
        above = above.parentWidget()


def _remove(halos: list[Halo], *_: object) -> None:
    while halos:
        halos.pop().remove()


def _button(text: str, name: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tooltip)
    return button
