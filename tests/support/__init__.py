"""What tests of every kind use to start services and to see that nothing of them stays: `daemon` and `processes`.

A suite reaches it by having `tests/` on sys.path (its conftest.py puts it there). It needs no pytest and no cwsandbox.
"""
