"""Keystone for gunicorn: oslo.config would otherwise take gunicorn's arguments for its own."""

import sys

from sqlalchemy import event
from sqlalchemy.engine import Engine

sys.argv = ["keystone"]

from keystone.wsgi.api import application  # noqa: E402, F401


# SQLite lets no transaction write that has read before another one wrote, and Keystone answers 500
# then. So each of them takes its turn from the beginning, for which it waits.
@event.listens_for(Engine, "before_cursor_execute", retval=True)
def take_turns(_connection, _cursor, statement, parameters, _context, _many):
    return "BEGIN IMMEDIATE" if statement == "BEGIN" else statement, parameters
