"""Things to look at and to play with in a notebook: each is one class that shows itself, and works without a browser.

`widget.state` is a dictionary of plain values, and `widget.plot()` the figure.
"""

from sslkit.widgets._explorer import Explorer, link  # noqa: F401
from sslkit.widgets._scene import Scene  # noqa: F401
