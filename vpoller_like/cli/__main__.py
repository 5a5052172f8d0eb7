"""``python -m vpoller_like.cli`` is ``vpoller``."""

import sys

from vpoller_like.cli.start import main

sys.exit(main())
