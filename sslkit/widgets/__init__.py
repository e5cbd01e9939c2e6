"""Things to look at and to play with in a notebook: each is one class that shows itself, and works without a browser.

from sslkit import widgets

widgets.LossLab(n=4)  # shows itself at the end of a cell; .state and .plot() work anywhere
"""

from importlib import import_module

_NAMES = {
    "CollapseSwitchboard": "_switchboard",
    "Dashboard": "_dashboard",
    "Explorer": "_explorer",
    "HonestyPanel": "_honesty",
    "InvarianceMatrix": "_invariance",
    "LossLab": "_loss",
    "Predict": "_predict",
    "Scene": "_scene",
    "ViewsPlayground": "_views",
    "link": "_explorer",
}

__all__ = [*_NAMES]


def __getattr__(name: str):
    """Loaded when first asked for: only the explorer needs a widget library before it is shown."""
    if name not in _NAMES:
        raise AttributeError(f"module 'sslkit.widgets' has no attribute {name!r}")
    return getattr(import_module(f"sslkit.widgets.{_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
