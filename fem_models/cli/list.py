"""`fem-models list`."""


def list_() -> None:
    """List what a run file can name, and the meshes and run files that are here."""
    from fem_models.config.catalogue import catalogue_text

    print(catalogue_text())
