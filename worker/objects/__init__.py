"""The object store: the one door to S3, and the table of what its errors mean."""
