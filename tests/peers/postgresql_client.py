"""pg8000 on fastsock: PORT PASSWORD [PATH of the unix socket]. Prints JSON."""

import json
import sys

import fastsock
import pg8000.dbapi

port, password, *path = sys.argv[1:]
where = {"unix_sock": path[0]} if path else {"host": "127.0.0.1", "port": int(port)}
connection = pg8000.dbapi.connect(
    "tester", database="postgres", password=password, timeout=20, **where)
assert type(connection._usock) is fastsock.socket, type(connection._usock)
result = {}
cursor = connection.cursor()
cursor.execute("create temporary table item (id int primary key, name text, data bytea)")
for number in range(1000):
    cursor.execute("insert into item values (%s, %s, %s)",
                   (number, f"näme {number}", bytes([number % 256]) * 100))
connection.commit()
cursor.execute("select id, name, data from item order by id")
rows = cursor.fetchall()
result["rows"] = len(rows)
result["rows_are_right"] = all(
    (number, name, bytes(data)) == (wanted, f"näme {wanted}", bytes([wanted % 256]) * 100)
    for wanted, (number, name, data) in enumerate(rows))
try:
    cursor.execute("select * from no_such_table")
except pg8000.dbapi.DatabaseError as error:
    result["error"] = error.args[0]["C"]
connection.rollback()
cursor.execute("select repeat('x', 3000000)")
result["large"] = len(cursor.fetchone()[0])
connection.close()
try:
    pg8000.dbapi.connect("tester", database="postgres", password="wrong", **where)
except pg8000.dbapi.Error as error:
    # pg8000 says goodbye to a server that may have hung up, and then raises this failure.
    while not isinstance(error, pg8000.dbapi.DatabaseError):
        error = error.__cause__ or error.__context__
    result["wrong_password"] = error.args[0]["C"]
print(json.dumps(result))
