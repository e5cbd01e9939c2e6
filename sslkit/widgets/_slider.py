"""A slider that a screen reader can name: the browser's own, with a label. (The handle of ipywidgets' has no name.)"""

from __future__ import annotations

import anywidget
import traitlets


class Slider(anywidget.AnyWidget):
    """A number from `min` to `max` in steps, with its label and its value beside it; arrow keys, Home and End work.

    The front end never has more than one message under way and then sends the newest value, so that moving it fast
    ends on the last one.
    """

    value = traitlets.Float(0.0).tag(sync=True)
    min = traitlets.Float(0.0).tag(sync=True)
    max = traitlets.Float(1.0).tag(sync=True)
    step = traitlets.Float(0.01).tag(sync=True)
    description = traitlets.Unicode("").tag(sync=True)
    unit = traitlets.Unicode("").tag(sync=True)

    _esm = """
    let made = 0;
    export default { render({ model, el }) {
      const id = `sslkit-slider-${Date.now()}-${made++}`;
      const [label, input, shown] = ["label", "input", "span"].map((tag) => document.createElement(tag));
      Object.assign(input, { type: "range", id });
      label.htmlFor = id;
      shown.ariaHidden = "true";
      const digits = () => (String(model.get("step")).split(".")[1] ?? "").length;
      const say = () => {
        shown.textContent = Number(input.value).toFixed(digits()) + model.get("unit");
        input.setAttribute("aria-valuetext", shown.textContent);
      };
      const update = () => {
        label.textContent = model.get("description");
        for (const name of ["min", "max", "step", "value"]) input[name] = model.get(name);
        say();
      };
      input.addEventListener("input", () => {
        model.set("value", Number(input.value));
        model.save_changes();
        say();
      });
      model.on("change", update);
      update();
      el.classList.add("sslkit-slider");
      const own = /^(Arrow|Page|Home|End)/; // keys that move the slider; else JupyterLab takes them for itself
      el.addEventListener("keydown", (event) => own.test(event.key) && event.stopPropagation());
      el.append(label, input, shown);
      return () => model.off("change", update);
    } };
    """
    _css = """
    .sslkit-slider { display: flex; align-items: center; gap: 8px; margin: 2px; width: 300px; height: 28px;
      font-size: var(--jp-widgets-font-size, 13px); color: var(--jp-ui-font-color1, inherit); }
    .sslkit-slider label { flex: 0 0 80px; text-align: right; }
    .sslkit-slider input { flex: 1 1 0; min-width: 0; accent-color: var(--jp-brand-color1, #1976d2); }
    .sslkit-slider input:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 2px; }
    .sslkit-slider span { flex: 0 0 52px; font-variant-numeric: tabular-nums; }
    """
