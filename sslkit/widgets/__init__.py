"""Labs for notebooks: each is a state model that also works without a browser, and a thin view.

from sslkit import widgets

widgets.LossLab(n=4)  # shows itself at the end of a cell; .state and .plot() work anywhere
"""

from sslkit.widgets._honesty import HonestyPanel
from sslkit.widgets._loss import LossLab
from sslkit.widgets._predict import Predict
from sslkit.widgets._views import ViewsPlayground

__all__ = ["HonestyPanel", "LossLab", "Predict", "ViewsPlayground"]
