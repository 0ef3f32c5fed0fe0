"""Decoder processes: every file is read, decoded and cut into views in a process that may be killed without harm.

`look` is the work, `child` does it in a process, `sandbox` ties that process down, `messages` is what both sides say,
`pool` keeps the processes warm and decides what a death or a delay means.
"""
