"""`python -m infra.cli`: the same as `assay`, for processes that name their interpreter."""

from infra.cli.main import main

main()
