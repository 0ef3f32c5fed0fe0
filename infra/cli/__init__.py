"""The command line `assay`: one file for each command."""
