"""``python -m vpoller_like.cli`` is ``vpoller``."""

import sys

from vpoller_like.cli.main import main

sys.exit(main())
