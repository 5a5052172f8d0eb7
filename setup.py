"""The optional C extension; everything else is in setup.cfg.

Where it cannot be built, for lack of a compiler or of Python's headers, vpoller is installed
without, and does the same in pure Python.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "vpoller_like.transport._burst",
            ["vpoller_like/transport/_burst.c"],
            libraries=["dl"],
            optional=True,
        )
    ]
)
