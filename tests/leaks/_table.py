"""The table of this package's own scenarios."""

import functools

#: {name: a function of run=}
SCENARIOS = {}


def scenario(*arguments):
    """Name a function as a scenario; with arguments, once for each of them."""
    def name(function):
        title = function.__name__.replace("_", " ")
        if not arguments:
            SCENARIOS[title] = function
        for argument in arguments:
            SCENARIOS[f"{title}: {argument}"] = functools.partial(function, argument)
        return function
    return name
