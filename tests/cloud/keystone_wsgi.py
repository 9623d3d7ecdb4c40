"""Keystone for gunicorn: oslo.config would otherwise take gunicorn's arguments for its own."""

import sys

sys.argv = ["keystone"]

from keystone.wsgi.api import application  # noqa: E402, F401
