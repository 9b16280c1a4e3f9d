"""A documented package."""


def documented():
    """Say so."""


def undocumented():
    pass
