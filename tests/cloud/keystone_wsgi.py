"""Runs Keystone in gunicorn, whose arguments oslo.config would otherwise parse."""

import sys

from sqlalchemy import event
from sqlalchemy.engine import Engine

sys.argv = ["keystone"]

from keystone.wsgi.api import application  # noqa: E402, F401


# In SQLite, a transaction cannot write after another one has written since its first read, and
# Keystone returns 500 then. So each transaction takes the write lock at its start, and waits for it.
@event.listens_for(Engine, "before_cursor_execute", retval=True)
def take_turns(_connection, _cursor, statement, parameters, _context, _many):
    return "BEGIN IMMEDIATE" if statement == "BEGIN" else statement, parameters
