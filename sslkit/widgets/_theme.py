"""Which theme a notebook has, so that figures can follow it. Only the page knows; so a widget without a body asks it."""

from __future__ import annotations

import anywidget
import traitlets


class Theme(anywidget.AnyWidget):
    """`dark` is true where the page writes bright on dark. It changes when the page does."""

    dark = traitlets.Bool(False).tag(sync=True)

    # The colour of the text tells it in every notebook program; a style may arrive later than the sign that it changes.
    _esm = """
    export default { render({ model, el }) {
      el.style.display = "none";
      const ask = () => {
        const [red, green, blue] = (getComputedStyle(el).color.match(/[\\d.]+/g) ?? [0, 0, 0]).map(Number);
        const dark = 0.3 * red + 0.59 * green + 0.11 * blue > 128;
        if (el.isConnected && dark !== model.get("dark")) {
          model.set("dark", dark);
          model.save_changes();
        }
      };
      const soon = () => [0, 300, 1500].forEach((wait) => setTimeout(ask, wait));
      const watch = new MutationObserver(soon);
      watch.observe(document.body, { attributes: true });
      soon();
      return () => watch.disconnect();
    } };
    """
