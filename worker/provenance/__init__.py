"""What an image's file says of its own origin, from its bytes alone; never mixed with what the pixels say.

`metadata` finds where a file keeps words, `declared` reads the unsigned ones, `c2pa_manifest` the signed ones,
`reading` puts it together; `findings` holds what comes out and imports nothing.
"""
