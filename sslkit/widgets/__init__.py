"""Labs for notebooks: each is a state model that also works without a browser, and a thin view.

from sslkit import widgets

widgets.LossLab(n=4)  # shows itself at the end of a cell; .state and .plot() work anywhere
"""

from sslkit.widgets._dashboard import Dashboard
from sslkit.widgets._invariance import InvarianceMatrix
from sslkit.widgets._switchboard import CollapseSwitchboard

__all__ = ["CollapseSwitchboard", "Dashboard", "InvarianceMatrix"]
