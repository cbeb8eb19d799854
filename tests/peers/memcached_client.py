"""pymemcache on fastsock: PORT. Prints JSON."""

import json
import sys

import fastsock
from pymemcache.client.base import Client, PooledClient

address = ("127.0.0.1", int(sys.argv[1]))
result = {}
client = Client(address, connect_timeout=20, timeout=20, no_delay=True)
client.set("name", b"value", noreply=False)
assert type(client.sock) is fastsock.socket, type(client.sock)
result["get"] = client.get("name").decode()
result["missing"] = client.get("no-such-key")
many = {f"key{number}": str(number).encode() * 10 for number in range(200)}
result["not_set"] = client.set_many(many, noreply=False)
result["many_are_same"] = client.get_many(many) == many
large = bytes(range(256)) * 3900
client.set("large", large, noreply=False)
result["large_is_same"] = client.get("large") == large
client.close()
pool = PooledClient(address, timeout=20, max_pool_size=2)
pool.set("count", b"1", noreply=False)
result["count"] = [pool.incr("count", 5) for _ in range(3)]
pool.close()
print(json.dumps(result))
