"""The face: Prefect flows, the `permafrost` command and reports. Thin shells over the other packages."""
