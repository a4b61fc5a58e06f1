"""The demo's database. usage: database.py FILE create | change"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

_STATEMENTS = {
    "create": "CREATE TABLE data (id INTEGER PRIMARY KEY, city TEXT);"
    "INSERT INTO data (city) VALUES ('Vienna'), ('Brno');",
    "change": "UPDATE data SET city = 'changed since';",
}


def main() -> None:
    """Do what is asked and print the rows."""
    path, action = sys.argv[1:]
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_STATEMENTS[action])
        for row in connection.execute("SELECT * FROM data"):
            print(*row)


if __name__ == "__main__":
    main()
