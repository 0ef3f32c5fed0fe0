"""A package, so that the browser and the stack behind it end with it and not with the whole run of tests."""
