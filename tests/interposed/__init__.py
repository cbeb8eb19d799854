"""System calls between which Python runs: what another thread does there, at just that time.

interpose.c is preloaded. Around each call that a thread makes without the GIL it calls two
functions of Python; they take the GIL, as another thread would.
"""
