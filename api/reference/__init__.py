"""Reference: the page that documents every route, with examples that tests run."""
