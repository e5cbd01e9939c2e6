"""The base of every lab: a state model that works alone, and a thin view that appears when a notebook shows it.

A lab is one class. Its public attributes and methods change the state, and each of them ends with `self.changed()`.
`_controls()` makes the view's controls: each is named after the attribute that it sets, or the method that it calls.
"""

from __future__ import annotations

import asyncio
from html import escape

from sslkit import plots


class Lab:
    """What all labs share: `state` (plain types), `plot()` (a figure, no browser needed), and showing itself.

    A subclass gives `NAME` (the box has the class `sslkit-<NAME>`), `USE` (one sentence: how to use it), `state`,
    `plot`, `_controls` and, if it likes, `summary`.
    """

    NAME = "lab"
    USE = ""

    def __init__(self, *, theme: str = "light"):
        self.theme, self.controls = theme, {}
        self._box, self._due, self._error = None, False, ""

    @property
    def state(self) -> dict:
        """What the lab is set to and what it measures, in plain types."""
        raise NotImplementedError

    def plot(self):
        """The figure of the present state."""
        raise NotImplementedError

    @property
    def summary(self) -> str:
        """A sentence that changes with the state; a screen reader reads it aloud. It may be empty."""
        return ""

    def _controls(self) -> dict:
        """The controls, {name of an attribute or a method: a widget}. Only here may ipywidgets be imported."""
        return {}

    def _arrange(self) -> list:
        """The controls in the order and the boxes in which they are shown."""
        from ipywidgets import HBox, Layout

        return [HBox(list(self.controls.values()), layout=Layout(flex_flow="row wrap", overflow="visible"))]

    def changed(self) -> None:
        """Show the new state soon, if the lab is shown: many changes in a row make one redraw, with the last state."""
        if self._box is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no notebook: there is nobody to wait for
            return self._refresh()
        if not self._due:
            self._due = True
            loop.call_later(0.03, self._refresh)

    @property
    def box(self):
        """The view, an ipywidgets box, made when it is first asked for."""
        if self._box is None:
            from ipywidgets import HTML, VBox

            self.controls, self._figure, self._status = self._controls(), HTML(), HTML()
            for name, control in self.controls.items():
                if hasattr(control, "on_click"):
                    control.on_click(lambda _, name=name: self._act(name))
                else:
                    control.observe(lambda change, name=name: self._act(name, change["new"]), "value")
            use = HTML(f"<p>{escape(self.USE)}</p>")
            self._box = VBox([use, *self._arrange(), self._status, self._figure])
            self._box.add_class(f"sslkit-{self.NAME}")
            self._refresh()
        return self._box

    def _act(self, name: str, *value) -> None:
        """A person has used a control. What the state refuses is said, and the control goes back."""
        if value and value[0] == getattr(self, name):  # the view has followed the state
            return
        try:
            setattr(self, name, *value) if value else getattr(self, name)()
        except ValueError as refused:
            self._error = str(refused)
        self.changed()

    def _refresh(self) -> None:
        self._due = False
        for name, control in self.controls.items():
            if not hasattr(control, "on_click"):
                control.value = getattr(self, name)
        self._figure.value = self._still()
        self._status.value = f'<p role="status">{escape(self._error or self.summary)}</p>'
        self._error = ""

    def _still(self) -> str:
        """The figure as HTML, as the view shows it."""
        return plots.html(self.plot())

    def _repr_mimebundle_(self, **_):
        # A page without a kernel shows the figure instead of the controls.
        still = f"<p>{escape(self.USE)}</p>{self.box.children[-1].value}"
        return {**self.box._repr_mimebundle_(), "text/html": still, "text/plain": self.USE}
