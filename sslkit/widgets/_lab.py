"""The base of every lab: a state model that works alone, and a thin view that appears when a notebook shows it.

A lab is one class. Its public attributes and methods change the state, and each of them ends with `self.changed()`.
`_controls()` makes the view's controls: each is named after the attribute that it sets, or the method that it calls.

JupyterLab answers controls in another thread than cells. So a lab has a lock: it is held while the figure is drawn and
while a control acts. What changes more than one field of the state is marked with `@alone`. ipywidgets does not know
that lock: a control is only written when the state has moved, so that a redraw from another thread never takes back what
a person is just setting.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from functools import wraps
from html import escape

from sslkit import plots


def alone(method):
    """While this method works, no other thread draws the lab or uses one of its controls."""

    @wraps(method)
    def locked(self, *args, **options):
        with self._lock:
            return method(self, *args, **options)

    return locked


class Lab:
    """What all labs share: `state` (plain types), `plot()` (a figure, no browser needed), and showing itself.

    A subclass gives `NAME` (the box has the class `sslkit-<NAME>`), `USE` (one sentence: how to use it), `state`,
    `plot`, `_controls` and, if it likes, `summary`. theme: "light", "dark" or "auto", which follows the notebook.
    """

    NAME = "lab"
    USE = ""
    _dark = False  # the notebook's theme: once a page has told it, new labs know it from the start

    def __init__(self, *, theme: str = "auto"):
        self.theme, self.controls, self._shown_values = theme, {}, {}
        self._box, self._error = None, ""
        self._lock, self._due = threading.RLock(), weakref.WeakSet()

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

    @property
    def look(self) -> str:
        """The theme of the figure: "light" or "dark"."""
        return {"auto": "dark" if Lab._dark else "light"}.get(self.theme, self.theme)

    def _controls(self) -> dict:
        """The controls, {name of an attribute or a method: a widget}. Only here may ipywidgets be imported."""
        return {}

    def _arrange(self) -> list:
        """The controls in the order and the boxes in which they are shown."""
        from ipywidgets import HBox, Layout

        return [HBox(list(self.controls.values()), layout=Layout(flex_flow="row wrap", overflow="visible"))]

    def _possible(self, name: str) -> bool:
        """Whether the control of this name can be used now."""
        return True

    def changed(self) -> None:
        """Show the new state soon, if the lab is shown: many changes in a row make one redraw, with the last state."""
        if self._box is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no notebook: there is nobody to wait for
            return self._refresh()
        if loop not in self._due:  # each thread has a loop of its own, and one may be busy for long
            self._due.add(loop)
            loop.call_later(0.03, self._refresh, loop)

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
            use = HTML(f'<p style="overflow-wrap: anywhere; line-height: 1.45">{escape(self.USE)}</p>')
            self._box = VBox([use, *self._arrange(), self._status, self._figure, *self._follow()])
            self._box.add_class(f"sslkit-{self.NAME}")
            self._refresh()
        return self._box

    def _follow(self) -> list:
        """What tells the theme of the page that shows the lab."""
        if self.theme != "auto":
            return []
        from sslkit.widgets._theme import Theme

        def tell(change) -> None:
            Lab._dark = change["new"]
            self.changed()

        theme = Theme(dark=Lab._dark)
        theme.observe(tell, "dark")
        return [theme]

    @alone
    def _act(self, name: str, *value) -> None:
        """A person has used a control. What the state refuses is said, and the control goes back."""
        if value and value[0] == getattr(self, name):  # the view has followed the state
            return
        try:
            setattr(self, name, *value) if value else self._press(name)
        except ValueError as refused:
            self._error = str(refused)
        if value:
            self._show(name, again=True)
        self.changed()

    def _show(self, name: str, *, again: bool = False) -> None:
        """Let the control show its attribute, if that has moved since it was last shown."""
        value = getattr(self, name)
        if again or name not in self._shown_values or value != self._shown_values[name]:
            self._shown_values[name] = self.controls[name].value = value

    def _press(self, name: str) -> None:
        getattr(self, name)()

    @alone
    def _refresh(self, loop=None) -> None:
        if loop is not None:
            self._due.discard(loop)
        for name, control in self.controls.items():
            if not hasattr(control, "on_click"):
                self._show(name)
            control.disabled = not self._possible(name)
        self._figure.value = self._still()
        self._status.value = f'<p role="status" style="line-height: 1.45">{escape(self._error or self.summary)}</p>'
        self._error = ""

    def _still(self) -> str:
        """The figure as HTML, as the view shows it."""
        return plots.html(self.plot())

    def _repr_mimebundle_(self, **_):
        # A page without a kernel shows the figure instead of the controls.
        shown = self.box._repr_mimebundle_()
        return {**shown, "text/html": f"<p>{escape(self.USE)}</p>{self._figure.value}", "text/plain": self.USE}
