# For other extension modules only: nothing here is visible from Python.
