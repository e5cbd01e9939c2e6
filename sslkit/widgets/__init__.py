"""Things to look at and to play with in a notebook: each is one class that shows itself, and works without a browser.

    from sslkit import widgets

    widgets.LossLab(n=4)  # shows itself at the end of a cell; .state and .plot() work anywhere
"""

from sslkit.widgets._dashboard import Dashboard
from sslkit.widgets._explorer import Explorer, link
from sslkit.widgets._honesty import HonestyPanel
from sslkit.widgets._invariance import InvarianceMatrix
from sslkit.widgets._loss import LossLab
from sslkit.widgets._predict import Predict
from sslkit.widgets._scene import Scene
from sslkit.widgets._switchboard import CollapseSwitchboard
from sslkit.widgets._views import ViewsPlayground

__all__ = [
    "CollapseSwitchboard", "Dashboard", "Explorer", "HonestyPanel", "InvarianceMatrix", "LossLab", "Predict", "Scene",
    "ViewsPlayground", "link",
]  # fmt: skip
