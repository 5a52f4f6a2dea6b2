"""Material differential equation: material ODE, material SDE and AMShortcut."""
