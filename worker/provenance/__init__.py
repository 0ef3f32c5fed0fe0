"""What an image's file says of its own origin, from its bytes alone; never mixed with what the pixels say.

`reader` yields the words of every container, `declared` finds marks in them, `c2pa_manifest` reads signed manifests,
`reading` puts it together; `findings` holds what comes out and imports nothing.
"""
