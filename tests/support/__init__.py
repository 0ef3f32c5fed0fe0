"""What only tests use: hands for a running Assay, outages, worlds."""
