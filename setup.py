"""The optional C extensions; everything else is in setup.cfg.

Where one cannot be built, for lack of a compiler, of Python's headers or of Cython, vpoller is
installed without, and does the same in pure Python.
"""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

BURST = Extension(
    "vpoller_like.transport._burst",
    ["vpoller_like/transport/_burst.c"],
    libraries=["dl"],
    optional=True,
)
#: What is there twice, in Python and in C: see vpoller_like/compiled.py.
HOT = [
    Extension(
        f"vpoller_like.{package}._hot",
        [f"vpoller_like/{package}/_hot.pyx"],
        # What a debugger would need of C that nobody wrote takes half of the compiler's time.
        extra_compile_args=["-g0"],
        optional=True,
    )
    for package in ("agent", "broker", "transport", "worker")
]


class BuildOnce(build_ext):
    """Builds a ``_hot`` for as long as its source is the same: it takes half a minute."""

    def build_extension(self, ext: Extension) -> None:
        """Build an extension; of a ``_hot``, take what ``build`` keeps of this very source."""
        if ext not in HOT:
            super().build_extension(ext)
            return
        target = Path(self.get_ext_fullpath(ext.name))
        marked = marked_source(Path(ext.sources[0]))
        # One that is there may be younger than this source, and of another; or be in use.
        target.unlink(missing_ok=True)
        kept = marked.with_name(target.name)
        if self.force or not kept.exists():
            ext.sources = [str(marked)]
            self._translate_and_compile(ext)
            shutil.copy2(target, kept)
        target.parent.mkdir(parents=True, exist_ok=True)
        # With the time of now: what is in place, of another source, may be younger than ``kept``,
        # and would be left there.
        shutil.copy(kept, target)

    def _translate_and_compile(self, ext: Extension) -> None:
        # Only CompileError is forgiven where an extension is optional.
        from Cython.Compiler.Errors import CompileError as TranslationError

        try:
            super().build_extension(ext)
        except TranslationError as error:
            raise CompileError(str(error)) from error


def marked_source(path: Path) -> Path:
    """Write the source at ``path`` with its digest, which compiled.py compares; return that file.

    Its parts, which it includes from ``hot`` beside it, are written beside it, too.

    Raises ``CompileError`` where Cython is missing.
    """
    try:
        from Cython import __version__
    except ImportError as error:
        raise CompileError("Cython is not here: pip install 'cython>=3.1,<4'") from error
    source = path.read_bytes()
    parts = {part: part.read_bytes() for part in sorted(path.parent.glob("hot/*.pxi"))}
    digest = f"{zlib.crc32(b''.join((source, *parts.values()))):08x}"
    place = Path("build", f"core-{digest}-cython-{__version__}")
    marked = place / path
    if not marked.exists():
        (marked.parent / "hot").mkdir(parents=True, exist_ok=True)
        for part, text in parts.items():
            (place / part).write_bytes(text)
        marked.write_bytes(source + f'\n#: Of the source.\nSOURCE = "{digest}"\n'.encode())
    return marked


setup(ext_modules=[BURST, *HOT], cmdclass={"build_ext": BuildOnce})
