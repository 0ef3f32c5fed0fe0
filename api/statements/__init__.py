"""Statements of reasons (DSA, Articles 17 and 24(5)): the platform's terms, and what Assay adds to them."""
